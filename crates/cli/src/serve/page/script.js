"use strict";
const $ = (id) => document.getElementById(id);

const CONNECT_MS = 30000;   // then the attempt counts as failed, as it does for the server
const STATS_MS = 1000;
const SECONDS = 60;         // what the plots show
const SILENT = 3;           // so many unanswered questions mean that the server is gone

const HINTS = {
  echo: { title: "Back from taut", local: "Your camera shows up here.", remote: "The same picture, once it has been to the taut peer and back." },
  clip: { title: "Played by taut", local: "Nothing is sent: the taut peer plays a clip.", remote: "The clip comes from the taut peer." },
};

/** The running call, or null. One object, thrown away as a whole. */
let call = null;

/** An error with a headline for people. */
class Trouble extends Error {
  constructor(title, text) {
    super(text);
    this.title = title;
  }
}

// ---- the state

function show(text, tone) {
  $("state").textContent = text;
  $("state").dataset.tone = tone;
}

function complain(title, text) {
  $("error").hidden = false;
  $("error").querySelector("strong").textContent = title;
  $("error").querySelector("span").textContent = text;
}

function explain(kind) {
  $("remote-title").textContent = HINTS[kind].title;
  $("local-hint").textContent = HINTS[kind].local;
  $("remote-hint").textContent = HINTS[kind].remote;
}

/** The buttons of a page that is idle, or in a call. */
function arrange(inCall) {
  $("start").hidden = $("clip").hidden = inCall;
  $("start").disabled = $("clip").disabled = false;
  $("hangup").hidden = !inCall;
  $("restart").hidden = true;
  document.body.classList.toggle("in-call", inCall);
}

function onState(mine) {
  switch (mine.pc.connectionState) {
    case "connecting": show("Connecting", "busy"); break;
    case "connected": onConnected(mine); break;
    case "disconnected": show("Interrupted, trying to get back", "busy"); break;
    case "failed": fail(mine, new Trouble("The connection failed", "The network path to the taut peer is gone. Is taut still running?")); break;
  }
}

function onConnected(mine) {
  show("Connected", "good");
  if (mine.connected) return;
  mine.connected = true;
  $("restart").hidden = false;
  if (mine.stream) watchRecording(mine);
}

// ---- camera and microphone

const CAMERA_ERRORS = {
  NotAllowedError: ["Camera and microphone were refused", "Allow this page to use them (usually at the left end of the address bar), then press the button again. Or let taut play its clip: that needs neither."],
  NotFoundError: ["No camera or microphone was found", "Connect a camera and a microphone, then press the button again. Or let taut play its clip: that needs neither."],
  NotReadableError: ["The camera or microphone is busy", "Another program seems to use it. Close that program, then press the button again."],
  OverconstrainedError: ["The camera cannot deliver this picture", "Try another camera."],
};

async function grab() {
  if (!navigator.mediaDevices) {
    throw new Trouble("This page may not use the camera", "Browsers give the camera only to pages from this computer or over HTTPS. Open the page as http://127.0.0.1 or http://localhost.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } },
      audio: { echoCancellation: true },
    });
  } catch (error) {
    const known = CAMERA_ERRORS[error.name];
    throw known ? new Trouble(...known) : new Trouble("The camera could not be started", `${error.name}: ${error.message}`);
  }
}

// ---- signalling, as WHIP has it

/** The server's ICE servers: it links to them where calls begin. */
async function iceServers() {
  const response = await fetch("/clip", { method: "OPTIONS" }).catch(() => null);
  const links = response?.headers.get("Link")?.matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+="(?:[^"\\]|\\.)*")*)/g) ?? [];
  const servers = [...links].map(([, urls, attributes]) => {
    const pairs = attributes.matchAll(/([\w-]+)="((?:[^"\\]|\\.)*)"/g);
    const { rel, username, credential } = Object.fromEntries([...pairs].map(([, name, value]) => [name, value.replace(/\\(.)/g, "$1")]));
    return rel === "ice-server" && { urls, username, credential };
  });
  return servers.filter(Boolean);
}

/** Offer in, answer out; the session's address and tag stay with the call. */
async function exchange(mine) {
  let response;
  try {
    response = await fetch(`/${mine.kind}`, { method: "POST", headers: { "Content-Type": "application/sdp" }, body: mine.pc.localDescription.sdp });
  } catch {
    throw new Trouble("The server does not answer", "Is taut still running? Start it again, then press the button again.");
  }
  const body = await response.text();
  if (response.status !== 201) {
    throw new Trouble("The server refused the call", body.trim() || `It answered with status ${response.status}.`);
  }
  mine.session = response.headers.get("Location");
  mine.tag = response.headers.get("ETag");
  return body;
}

/** Sends the candidates that have come since the last time; those of a restart follow it. */
function trickle(mine) {
  if (!mine.session || mine.restarting || !mine.candidates.length) return;
  patch(mine, mine.tag, mine.candidates.splice(0)).catch(() => {});
}

/** Sends a fragment (RFC 8840 section 9): the credentials of the local description, and candidates. */
function patch(mine, tag, candidates) {
  const sdp = mine.pc.localDescription.sdp;
  const lines = [/^a=ice-ufrag:.*$/m, /^a=ice-pwd:.*$/m].map((pattern) => pattern.exec(sdp)[0].trim());
  for (const candidate of candidates) {
    lines.push("m=audio 9 UDP/TLS/RTP/SAVPF 0", `a=mid:${candidate.sdpMid}`, candidate.candidate ? `a=${candidate.candidate}` : "a=end-of-candidates");
  }
  const headers = { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": tag };
  return fetch(mine.session, { method: "PATCH", headers, body: `${lines.join("\r\n")}\r\n` });
}

/** Begins ICE anew while the call goes on: of the new offer and answer only what ICE needs travels (RFC 9725 section 4.3). */
async function restart() {
  const mine = call;
  if (!mine?.connected || mine.restarting) return;
  mine.restarting = true;
  $("restart").disabled = true;
  $("error").hidden = true;
  try {
    mine.candidates = [];
    mine.pc.restartIce();
    await mine.pc.setLocalDescription();
    const response = await patch(mine, "*", []);
    const body = await response.text();
    if (response.status !== 200) throw new Error(body.trim() || `The server answered with status ${response.status}.`);
    if (call !== mine) return;
    mine.tag = response.headers.get("ETag");
    await mine.pc.setRemoteDescription({ type: "answer", sdp: renewed(mine.pc.remoteDescription.sdp, body) });
  } catch (error) {
    if (call !== mine) return;
    if (mine.pc.signalingState === "have-local-offer") await mine.pc.setLocalDescription({ type: "rollback" }).catch(() => {});
    complain("ICE was not restarted", error.message);
  } finally {
    mine.restarting = false;
    if (call === mine) {
      $("restart").disabled = false;
      trickle(mine);
    }
  }
}

/** The server's description with the credentials and candidates of a fragment, which speak for all of its sections. */
function renewed(sdp, fragment) {
  const ice = /^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates)\b/;
  const lines = (text, keep) => text.split(/\r?\n/).filter((line) => line && keep(line));
  const fresh = lines(fragment, (line) => ice.test(line)), credentials = fresh.filter((line) => line.startsWith("a=ice-"));
  const [session, ...media] = sdp.split(/^(?=m=)/m).map((section) => lines(section, (line) => !ice.test(line)));
  return [...session, ...media.flatMap((section, index) => [...section, ...(index ? credentials : fresh)]), ""].join("\r\n");
}

/** Ends the session on the server. `keepalive` lets it leave while the page is being closed. */
function release(mine) {
  if (mine.session) fetch(mine.session, { method: "DELETE", keepalive: true }).catch(() => {});
  mine.session = null;
}

// ---- the call

async function start(kind) {
  if (call) return;
  const mine = call = {
    kind, pc: null, stream: null, channel: null, session: null, tag: null, connected: false,
    candidates: [], restarting: false, timers: [], sent: [], last: {}, known: null, silent: 0, recording: null,
  };
  const gone = () => call !== mine;
  $("error").hidden = $("files").hidden = true;
  $("start").disabled = $("clip").disabled = true;
  explain(kind);
  clearPlots();
  try {
    if (kind === "echo") {
      show("Waiting for the camera", "busy");
      const stream = await grab();
      if (gone()) { stream.getTracks().forEach((track) => track.stop()); return; }
      mine.stream = stream;
      $("local").srcObject = stream;
      $("local-hint").hidden = true;
    }
    arrange(true);
    show("Calling the server", "busy");
    const servers = await iceServers();
    if (gone()) return;
    const pc = connect(mine, servers);
    await pc.setLocalDescription();
    const answer = await exchange(mine);
    if (gone()) { release(mine); return; }

    show("Connecting", "busy");
    mine.timers.push(setTimeout(() => {
      if (!mine.connected) fail(mine, new Trouble("No connection came about", "The offer was answered, but no network path between the browser and the taut peer works. A firewall or a VPN may be in the way."));
    }, CONNECT_MS));
    await pc.setRemoteDescription({ type: "answer", sdp: answer });
    trickle(mine);
    mine.timers.push(setInterval(() => { measure(mine).catch(() => {}); }, STATS_MS));
  } catch (error) {
    if (gone()) return;
    fail(mine, error instanceof Trouble ? error : new Trouble("The connection could not be set up", error.message));
  }
}

/** Makes the connection, with what it sends and receives. */
function connect(mine, servers) {
  const pc = mine.pc = new RTCPeerConnection({ iceServers: servers });
  const remote = new MediaStream();
  pc.addEventListener("track", ({ track }) => {
    remote.addTrack(track);
    if (call === mine) $("remote").srcObject = remote;
  });
  pc.addEventListener("icecandidate", ({ candidate }) => {
    if (candidate && call === mine) { mine.candidates.push(candidate); trickle(mine); }
  });
  pc.addEventListener("connectionstatechange", () => { if (call === mine) onState(mine); });
  if (mine.stream) for (const track of mine.stream.getTracks()) pc.addTrack(track, mine.stream);
  else for (const kind of ["video", "audio"]) pc.addTransceiver(kind, { direction: "recvonly" });
  openChat(mine);
  return pc;
}

function fail(mine, trouble) {
  if (call !== mine) return;
  end();
  show("Failed", "bad");
  complain(trouble.title, trouble.message);
}

/** Ends the call on this side and puts the page back as it was. The plots stay: they show what has been. */
function end() {
  const mine = call;
  call = null;
  if (!mine) return;
  mine.timers.forEach(clearInterval);
  mine.pc?.close();
  mine.stream?.getTracks().forEach((track) => track.stop());
  endRecording(mine);
  release(mine);
  for (const side of ["local", "remote"]) {
    $(side).srcObject = null;
    $(`${side}-info`).textContent = "";
    $(`${side}-hint`).hidden = false;
  }
  explain("echo");
  $("remote").muted = true;
  $("sound").hidden = $("record").hidden = true;
  $("sound").textContent = "Sound on";
  $("connection-info").textContent = "";
  arrange(false);
  chatOpen(false);
}

// ---- recording

/** Shows the button; a server that records every call does so already. */
async function watchRecording(mine) {
  const response = await fetch(`${mine.session}/recording`).catch(() => null);
  if (call !== mine) return;
  $("record").hidden = false;
  setRecording(mine, response?.ok ? await response.json() : null);
  mine.timers.push(setInterval(() => setRecording(mine, mine.recording), 1000));
}

function setRecording(mine, recording) {
  if (recording && !mine.recording) recording.since = performance.now();
  mine.recording = recording;
  $("record").setAttribute("aria-pressed", String(Boolean(recording)));
  const seconds = recording && Math.floor((performance.now() - recording.since) / 1000);
  $("record-text").textContent = recording ? `Stop recording ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : "Record";
}

async function toggleRecording() {
  const mine = call;
  if (!mine?.session) return;
  $("record").disabled = true;
  try {
    if (mine.recording) {
      await endRecording(mine);
    } else {
      const response = await fetch(`${mine.session}/recording`, { method: "POST" });
      if (!response.ok) throw new Error((await response.text()).trim());
      setRecording(mine, await response.json());
      $("files").hidden = true;
    }
  } catch (error) {
    if (call === mine) complain("The call is not recorded", error.message);
  } finally {
    $("record").disabled = false;
  }
}

/** Ends the recording, and links to its files. */
async function endRecording(mine) {
  const recording = mine.recording, session = mine.session;
  if (!recording || !session) return;
  setRecording(mine, null);
  const response = await fetch(`${session}/recording`, { method: "DELETE", keepalive: true }).catch(() => null);
  const done = response?.ok ? await response.json() : recording;
  const link = (href, text) => {
    const element = document.createElement("a");
    Object.assign(element, { href, textContent: text, download: "" });
    return element;
  };
  const links = [done.video && link(done.video, "video (IVF)"), done.audio && link(done.audio, "sound (Ogg)")].filter(Boolean);
  const length = done.seconds ? ` ${done.seconds.toFixed(1)} s` : "";
  $("files").replaceChildren(`Recorded${length}: `, ...links.flatMap((element, index) => (index ? [" · ", element] : [element])));
  $("files").hidden = links.length === 0;
}

// ---- the data channel

function openChat(mine) {
  const channel = mine.channel = mine.pc.createDataChannel("chat");
  channel.addEventListener("open", () => { if (call === mine) chatOpen(true); });
  channel.addEventListener("message", ({ data }) => {
    if (call !== mine) return;
    const at = mine.sent.shift();
    say("theirs", String(data), at === undefined ? "" : `${(performance.now() - at).toFixed(1)} ms`);
  });
  channel.addEventListener("close", () => {
    if (call !== mine) return;
    end();
    show("Closed by the server", "idle");
  });
}

function chatOpen(open) {
  $("text").disabled = $("send").disabled = !open;
  $("text").placeholder = open ? "Write a message" : "Connect first, then write";
  $("chat-info").textContent = open ? "open" : "";
}

function say(side, text, aside) {
  $("log").querySelector(".note")?.remove();
  const item = document.createElement("li");
  item.className = side;
  item.textContent = text;
  if (aside) {
    const small = document.createElement("small");
    small.textContent = aside;
    item.append(small);
  }
  $("log").append(item);
  $("log").scrollTop = $("log").scrollHeight;
}

// ---- measurements

/** Asks both sides once a second. They answer in the same words: those of the W3C. */
async function measure(mine) {
  const [here, there] = await Promise.all([mine.pc.getStats(), serverStats(mine)]);
  if (call !== mine || !mine.connected) return;
  const browser = digest([...here.values()], mine, "browser");
  const taut = there && digest(there, mine, "taut");
  mine.known = taut ?? mine.known;
  addPoint(browser, taut);
  describe(browser, mine.known);
  $("local-info").textContent = mine.stream ? line(size(browser.outbound), fps(browser.fps.sent), rate(browser.rate.sent)) : "";
  $("remote-info").textContent = line(size(browser.inbound), fps(browser.fps.received), rate(browser.rate.received));
  $("chat-info").textContent = line("open", browser.rtt !== null && `round trip ${browser.rtt.toFixed(1)} ms`);
}

/** The server's side; null while it does not answer. */
async function serverStats(mine) {
  const response = await fetch(`${mine.session}/stats`).catch(() => null);
  mine.silent = response ? 0 : mine.silent + 1;
  if (mine.silent >= SILENT && mine.pc.connectionState !== "connected") {
    fail(mine, new Trouble("The server is gone", "It does not answer any more. Start taut again, then press the button again."));
  }
  return response?.ok ? response.json() : null;
}

/** What the page shows of a report, with rates since the last one of the same side. */
function digest(entries, mine, side) {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const all = (type) => entries.filter((entry) => entry.type === type);
  const video = (type) => all(type).find((entry) => entry.kind === "video");
  const sum = (list, key) => list.reduce((total, entry) => total + (entry[key] ?? 0), 0);
  const transport = all("transport")[0];
  const pair = byId.get(transport?.selectedCandidatePairId) ?? all("candidate-pair").find((entry) => entry.nominated && entry.state === "succeeded");
  const now = {
    at: performance.now(),
    sent: sum(all("outbound-rtp"), "bytesSent"), received: sum(all("inbound-rtp"), "bytesReceived"),
    framesSent: video("outbound-rtp")?.framesSent, framesReceived: video("inbound-rtp")?.framesReceived,
    packets: sum(all("inbound-rtp"), "packetsReceived"), lost: sum(all("inbound-rtp"), "packetsLost"),
    told: sum(all("remote-inbound-rtp"), "packetsLost"), packetsSent: sum(all("outbound-rtp"), "packetsSent"),
  };
  const last = mine.last[side];
  mine.last[side] = now;
  const grown = (key) => (last && now[key] !== undefined && last[key] !== undefined ? Math.max(0, now[key] - last[key]) : null);
  const perSecond = (key, factor = 1) => { const more = grown(key); return more === null ? null : more * factor * 1000 / (now.at - last.at); };
  const share = (lost, whole) => (lost === null ? null : whole ? Math.min(100, 100 * lost / whole) : 0);
  return {
    byId, transport, pair, inbound: video("inbound-rtp"), outbound: video("outbound-rtp"), codecs: all("codec"),
    rate: { sent: perSecond("sent", 8 / 1000), received: perSecond("received", 8 / 1000) },
    fps: { sent: video("outbound-rtp") ? perSecond("framesSent") : null, received: video("inbound-rtp") ? perSecond("framesReceived") : null },
    loss: { sent: all("outbound-rtp").length ? share(grown("told"), grown("packetsSent")) : null, received: all("inbound-rtp").length ? share(grown("lost"), grown("packets") + grown("lost")) : null },
    // Firefox counts whole milliseconds there, so that 0 says nothing.
    rtt: [pair?.currentRoundTripTime, ...all("remote-inbound-rtp").map((entry) => entry.roundTripTime)].filter((time) => time > 0).map((time) => time * 1000)[0] ?? null,
  };
}

const line = (...parts) => parts.filter(Boolean).join(" · ");
const size = (entry) => entry?.frameWidth && `${entry.frameWidth}×${entry.frameHeight}`;
const fps = (value) => value !== null && `${Math.round(value)} fps`;
const rate = (value) => value !== null && (value < 1000 ? `${Math.round(value)} kbit/s` : `${(value / 1000).toFixed(2)} Mbit/s`);

// ---- the table

const DTLS = { FEFD: "DTLS 1.2", FEFC: "DTLS 1.3" };

function describe(browser, taut) {
  const transport = taut?.transport ?? browser.transport;
  const end = (report, id) => { const c = report.byId.get(id); return c ? `${c.candidateType} ${c.address?.includes(":") ? `[${c.address}]` : c.address ?? "hidden"}:${c.port}` : "–"; };
  const pair = taut?.pair ?? browser.pair, source = taut?.pair ? taut : browser;
  const codecs = new Set((taut?.codecs.length ? taut : browser).codecs.filter((codec) => !/rtx|red|ulpfec/i.test(codec.mimeType)).map((codec) => codec.mimeType.split("/")[1]));
  const facts = [
    ["Taut's end", pair && end(source, source === taut ? pair.localCandidateId : pair.remoteCandidateId)],
    ["Browser's end", pair && end(source, source === taut ? pair.remoteCandidateId : pair.localCandidateId)],
    ["ICE session", transport?.iceLocalUsernameFragment && `${transport.iceLocalUsernameFragment} at ${taut?.transport ? "taut" : "the browser"}`],
    ["Transport", pair && `${(source.byId.get(pair.localCandidateId)?.protocol ?? "udp").toUpperCase()}, taut is ${taut?.transport?.iceRole ?? "–"}`],
    ["DTLS", transport && line(DTLS[transport.tlsVersion] ?? transport.tlsVersion, taut?.transport?.dtlsRole && `taut is the ${taut.transport.dtlsRole}`)],
    ["DTLS cipher", transport?.dtlsCipher],
    ["DTLS engine", taut?.transport?.dtlsEngine],
    ["SRTP", transport?.srtpCipher],
    ["Codecs", [...codecs].join(", ")],
  ];
  $("connection-info").textContent = `round trip ${browser.rtt === null ? "–" : `${browser.rtt.toFixed(1)} ms`}`;
  $("facts").replaceChildren(...facts.map(([name, value]) => fact(name, value || "–")));
}

function fact(name, value) {
  const row = document.createElement("tr"), head = document.createElement("th"), cell = document.createElement("td");
  head.scope = "row";
  head.textContent = name;
  cell.textContent = value;
  row.append(head, cell);
  return row;
}

// ---- the plots

/** What is plotted: a series for each direction and each side that measures it. The floor is the least height of the scale. */
const PLOTS = [
  { title: "Bitrate", unit: "kbit/s", digits: 0, floor: 100, of: (b, t) => ({ upBrowser: b.rate.sent, upTaut: t?.rate.received, downTaut: t?.rate.sent, downBrowser: b.rate.received }) },
  { title: "Round trip", unit: "ms", digits: 1, floor: 5, of: (b, t) => ({ upBrowser: b.rtt, downTaut: t?.rtt }), names: { up: "browser", down: "taut" } },
  { title: "Packet loss", unit: "%", digits: 1, floor: 5, of: (b, t) => ({ upBrowser: b.loss.sent, upTaut: t?.loss.received, downTaut: t?.loss.sent, downBrowser: b.loss.received }) },
  { title: "Frames", unit: "per second", digits: 0, floor: 35, of: (b, t) => ({ upBrowser: b.fps.sent, upTaut: t?.fps.received, downTaut: t?.fps.sent, downBrowser: b.fps.received }) },
];
/** The way to taut is broad and pale: an echo comes back as it went, and both should be seen. */
const SERIES = [
  ["upTaut", "up", { width: 6, alpha: 0.4, dash: [] }], ["downTaut", "down", { width: 1.75, alpha: 1, dash: [] }],
  ["upBrowser", "up", { width: 2.25, alpha: 1, dash: [1, 7] }], ["downBrowser", "down", { width: 2.25, alpha: 1, dash: [1, 5] }],
];

function buildPlots() {
  for (const plot of PLOTS) {
    const card = document.createElement("div");
    card.className = "card plot";
    card.innerHTML = `<h3><span>${plot.title}</span><span>${plot.unit}</span></h3><dl><div class="up"><dt>${plot.names?.up ?? "out"}</dt><dd>–</dd></div><div class="down"><dt>${plot.names?.down ?? "back"}</dt><dd>–</dd></div></dl><canvas role="img" aria-label="${plot.title} over the last minute"></canvas>`;
    plot.canvas = card.querySelector("canvas");
    plot.values = { up: card.querySelector(".up dd"), down: card.querySelector(".down dd") };
    plot.points = [];
    $("plots").append(card);
    new ResizeObserver(() => draw(plot)).observe(plot.canvas);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => PLOTS.forEach(draw));
}

function clearPlots() {
  for (const plot of PLOTS) {
    plot.points = [];
    plot.values.up.textContent = plot.values.down.textContent = "–";
    draw(plot);
  }
}

function addPoint(browser, taut) {
  const text = (plot, value) => (value === null || value === undefined ? "–" : value.toFixed(plot.digits));
  for (const plot of PLOTS) {
    const point = plot.of(browser, taut);
    plot.points = [...plot.points, point].slice(-SECONDS - 1);
    // The side that receives knows what arrived.
    plot.values.up.textContent = text(plot, point.upTaut ?? point.upBrowser);
    plot.values.down.textContent = text(plot, point.downBrowser ?? point.downTaut);
    draw(plot);
  }
}

/** The next of 1, 2, 5, 10, 20, … above a value. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= value);
}

function draw(plot) {
  const { canvas, points } = plot, ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  pen.scale(ratio, ratio);
  const highest = Math.max(0, ...points.flatMap((point) => Object.values(point).filter(Number.isFinite)));
  const top = highest <= plot.floor ? plot.floor : nice(highest * 1.05);
  const y = (value) => height - 3 - (value / top) * (height - 18);
  pen.lineWidth = 1;
  pen.strokeStyle = color("grid");
  for (const part of [0, 0.5, 1]) {
    pen.beginPath();
    pen.moveTo(0, Math.round(y(top * part)) + 0.5);
    pen.lineTo(width, Math.round(y(top * part)) + 0.5);
    pen.stroke();
  }
  pen.fillStyle = color("soft");
  pen.font = `11px ${style.getPropertyValue("font-family") || "sans-serif"}`;
  pen.fillText(String(top), 0, y(top) - 4);
  const x = (index) => width - 2 - (points.length - 1 - index) * ((width - 2) / SECONDS);
  for (const [key, direction, { width: breadth, alpha, dash }] of SERIES) {
    pen.strokeStyle = color(direction);
    pen.lineWidth = breadth;
    pen.globalAlpha = alpha;
    pen.lineCap = "round";
    pen.lineJoin = "round";
    pen.setLineDash(dash);
    pen.beginPath();
    let down = false;
    points.forEach((point, index) => {
      const known = Number.isFinite(point[key]);
      if (known) pen[down ? "lineTo" : "moveTo"](x(index), y(point[key]));
      down = known;
    });
    pen.stroke();
  }
}

// ---- buttons

$("start").addEventListener("click", () => start("echo"));
$("clip").addEventListener("click", () => start("clip"));
$("record").addEventListener("click", toggleRecording);
$("restart").addEventListener("click", restart);
$("hangup").addEventListener("click", () => { end(); show("Hung up", "idle"); });
$("sound").addEventListener("click", () => {
  $("remote").muted = !$("remote").muted;
  $("sound").textContent = $("remote").muted ? "Sound on" : "Sound off";
});
$("remote").addEventListener("playing", () => { if (call) { $("remote-hint").hidden = true; $("sound").hidden = false; } });
$("chat").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || call?.channel?.readyState !== "open") return;
  call.channel.send(text);
  call.sent.push(performance.now());
  say("mine", text);
  $("text").value = "";
});
addEventListener("pagehide", () => { if (call) { end(); show("Not connected", "idle"); } });
explain("echo");
$("facts").replaceChildren(...["Taut's end", "Browser's end", "ICE session", "Transport", "DTLS", "DTLS cipher", "DTLS engine", "SRTP", "Codecs"].map((name) => fact(name, "–")));
buildPlots();
