// The cells of the matrix for one browser: each task of the server, with the page offering and the page answering. Every
// cell connects `connects` times in a row; each time data and media must flow, and the session must be freed after.
// The first connection of a cell also carries `messages` messages and is watched for `seconds`. Prints a line
// `CELL {json}` a cell, as the aiortc client does.

import { freed, GOODBYE_MS } from "../rig.mjs";

export async function run({ url, connects, messages, seconds, cells, addresses, launch }) {
  const { page, close } = await launch({ camera: "unasked", addresses });
  try {
    await page.goto(url);
    await page.evaluate(prepare);
    for (const { task, role } of cells) {
      const result = { task, role, connected: 0, setups: {}, milliseconds: [], failures: [] };
      for (let turn = 0; turn < connects; turn += 1) {
        try {
          const options = { task, role, turn, messages: turn === 0 ? messages : 1, seconds: turn === 0 ? seconds : 0 };
          const seen = await page.evaluate((options) => globalThis.connect(options), options);
          await freed(url, "the session", GOODBYE_MS);
          result.connected += 1;
          result.milliseconds.push(Math.round(seen.milliseconds));
          result.setups[seen.setup] = (result.setups[seen.setup] ?? 0) + 1;
          if (turn === 0) Object.assign(result, { messages: seen.messages, video: seen.video, audio: seen.audio });
        } catch (error) {
          result.failures.push(`connection ${turn + 1}: ${error.message}`);
        }
      }
      console.log(`CELL ${JSON.stringify(result)}`);
    }
  } finally {
    await close();
  }
}

/** Runs in the page: makes the media to send, and defines `connect`. */
async function prepare() {
  const WAIT_MS = 60_000;
  const SETUPS = ["actpass", "active", "passive"];

  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: 320, height: 240 });
  const pen = canvas.getContext("2d");
  let drawn = 0;
  setInterval(() => {
    drawn += 1;
    pen.fillStyle = `hsl(${(drawn * 7) % 360} 80% 50%)`;
    pen.fillRect(0, 0, 320, 240);
    pen.fillStyle = "#000";
    pen.fillRect((drawn * 5) % 320, 80, 40, 80);
  }, 1000 / 30);
  const sound = new AudioContext();
  const tone = sound.createOscillator();
  const output = sound.createMediaStreamDestination();
  tone.connect(output);
  tone.start();
  const tracks = [...canvas.captureStream(30).getVideoTracks(), ...output.stream.getAudioTracks()];

  const video = document.createElement("video");
  Object.assign(video, { autoplay: true }); // Browsers do not measure the sound of a muted element.
  document.body.replaceChildren(canvas, video);

  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const until = async (what, probe) => {
    for (const end = performance.now() + WAIT_MS; ;) {
      const seen = await probe();
      if (seen) return seen;
      if (performance.now() > end) throw new Error(`no ${what} within ${WAIT_MS} ms`);
      await sleep(10);
    }
  };
  const request = async (method, path, body, expected) => {
    const response = await fetch(path, { method, headers: { "Content-Type": "application/sdp" }, body });
    const text = await response.text();
    if (response.status !== expected) throw new Error(`${method} ${path}: status ${response.status}: ${text}`);
    return { text, location: response.headers.get("Location") };
  };
  const set = (sdp, setup) => sdp.replaceAll(/^a=setup:\w+/gm, `a=setup:${setup}`);
  const setupOf = (sdp) => /^a=setup:(\w+)/m.exec(sdp)[1];
  const gathered = (pc) => until("end of gathering", () => pc.iceGatheringState === "complete");

  /** The client's media for a task: what is echoed must be sent first. */
  const addMedia = (pc, task) => {
    for (const track of tracks) {
      if (task === "echo") pc.addTrack(track);
      else pc.addTransceiver(track.kind, { direction: "recvonly" });
    }
  };

  /** Whoever offers, an offer may leave the DTLS roles open or settle them; gives the session and the client's role. */
  const signal = {
    async offers(pc, task, setup) {
      addMedia(pc, task);
      const channel = pc.createDataChannel("matrix");
      await pc.setLocalDescription();
      await gathered(pc);
      const { text, location } = await request("POST", `/${task}`, set(pc.localDescription.sdp, setup), 201);
      await pc.setRemoteDescription({ type: "answer", sdp: text });
      return { channel, location, setup: setupOf(text) === "active" ? "passive" : "active" };
    },
    async answers(pc, task, setup) {
      const { text, location } = await request("POST", `/${task}`, "", 201);
      await pc.setRemoteDescription({ type: "offer", sdp: set(text, setup) });
      if (task === "echo") for (const track of tracks) pc.addTrack(track);
      await pc.setLocalDescription();
      await gathered(pc);
      await request("PATCH", location, pc.localDescription.sdp, 204);
      return { channel: pc.createDataChannel("matrix"), location, setup: setupOf(pc.localDescription.sdp) };
    },
  };

  const size = (i) => (i === 1 ? 60_000 : 1 + (i * 7919) % 60_000);
  const make = (i) => Uint8Array.from({ length: size(i) }, (_, k) => (k * 31 + i) & 255);

  /** Sends messages and takes the echoes; gives how many came back equal and in order. */
  const exchange = async (channel, count) => {
    channel.binaryType = "arraybuffer";
    await until("open channel", () => channel.readyState === "open");
    let received = 0, problem = null;
    channel.onmessage = ({ data }) => {
      const got = new Uint8Array(data), sent = make(received);
      if (got.length !== sent.length || !sent.every((byte, k) => byte === got[k])) problem ??= `message ${received} is not what was sent`;
      received += 1;
    };
    for (let i = 0; i < count; i += 1) channel.send(make(i));
    await until(`echo of ${count} messages`, () => problem ?? (received === count));
    if (problem) throw new Error(problem);
    return received;
  };

  const inbound = async (pc, kind) => {
    const receiver = pc.getReceivers().find(({ track }) => track.kind === kind);
    let entry = {};
    (await pc.getStats()).forEach((one) => { if (one.type === "inbound-rtp" && one.kind === kind) entry = one; });
    return { at: performance.now(), media: receiver?.getSynchronizationSources()[0]?.rtpTimestamp, ...entry };
  };

  /** What arrived in a stretch of time: frames decoded, per second of media time and per second of the clock. */
  const watch = async (pc, seconds) => {
    await until("timestamp of a frame", async () => (await inbound(pc, "video")).media !== undefined);
    const [video, audio] = [await inbound(pc, "video"), await inbound(pc, "audio")];
    await sleep(seconds * 1000);
    const [later, louder] = [await inbound(pc, "video"), await inbound(pc, "audio")];
    const decoded = later.framesDecoded - video.framesDecoded;
    return {
      video: { decoded, media: ((later.media - video.media) >>> 0) / 90_000, clock: (later.at - video.at) / 1000, lost: later.packetsLost },
      audio: {
        packets: louder.packetsReceived - audio.packetsReceived,
        lost: louder.packetsLost,
        energy: louder.totalAudioEnergy - audio.totalAudioEnergy,
        clock: (louder.at - audio.at) / 1000,
      },
    };
  };

  globalThis.connect = async ({ task, role, turn, messages, seconds }) => {
    const started = performance.now();
    const pc = new RTCPeerConnection();
    const remote = new MediaStream();
    pc.addEventListener("track", ({ track }) => { remote.addTrack(track); video.srcObject = remote; });
    let session = null;
    try {
      session = await signal[role](pc, task, SETUPS[turn % SETUPS.length]);
      await until("connection", () => pc.connectionState === "connected");
      const milliseconds = performance.now() - started;
      const seen = { milliseconds, setup: session.setup };
      seen.messages = await exchange(session.channel, messages);
      await until("picture", async () => (await inbound(pc, "video")).framesDecoded > 0);
      await until("sound", async () => (await inbound(pc, "audio")).packetsReceived > 0);
      return seconds ? { ...seen, ...(await watch(pc, seconds)) } : seen;
    } finally {
      // Both ways of ending in turn: at the server, and with nothing but the connection's own goodbye.
      if (session && turn % 2) await fetch(session.location, { method: "DELETE" });
      pc.close();
    }
  };
}
