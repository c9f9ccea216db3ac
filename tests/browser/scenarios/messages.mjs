// A thousand messages of 1 to 60,000 bytes, text and binary in turn, come back equal and in order; with `addresses`
// "hidden" the browser names its addresses .local, with "plain" it shows them. With `server_hides` the server names its own
// .local, and is told no candidate of the browser's.

import { check, freed, LIMIT_MS, note } from "../rig.mjs";

export async function run({ url, addresses, server_hides, launch }) {
  const { page, close } = await launch({ camera: "unasked", addresses });
  try {
    await page.goto(url);
    const seen = await page.evaluate(exchange, { count: 1000, largest: 60_000, keep: Boolean(server_hides), limit: LIMIT_MS });
    const [wanted, unwanted] = addresses === "hidden" ? [seen.hidden, seen.plain] : [seen.plain, seen.hidden];
    check(wanted > 0 && unwanted === 0, `the offer's host candidates are ${addresses}`, { hidden: seen.hidden, plain: seen.plain });
    const answered = server_hides ? seen.answered.every((line) => / [0-9a-f-]{36}\.local /.test(line)) : seen.answered.every((line) => !/\.local /.test(line));
    check(seen.answered.length > 0 && answered, `the answer's candidates are ${server_hides ? "hidden" : "plain"}`, seen.answered);
    check(seen.problem === null, "no message was wrong", seen.problem);
    check(seen.received === seen.sent && seen.sent === 1000, "every message came back, in order", seen.received);
    note(`${seen.bytes} bytes each way in ${Math.round(seen.ms)} ms, connected after ${Math.round(seen.connectMs)} ms`);
    check(seen.labels.join() === "first,second", "a second channel opens with its label", seen.labels);
    await page.evaluate(() => globalThis.pc.close());
    check(true, "closing the connection alone, without DELETE, frees the session", `${await freed(url, "the session")} ms`);
  } finally {
    await close();
  }
}

/** Runs in the page. */
async function exchange({ count, largest, keep, limit }) {
  const pc = globalThis.pc = new RTCPeerConnection();
  const channel = pc.createDataChannel("first");
  channel.binaryType = "arraybuffer";
  // From the start: on a fast path the channel is open before setRemoteDescription has resolved.
  const opened = new Promise((resolve) => channel.addEventListener("open", resolve));
  await pc.setLocalDescription();
  await new Promise((resolve) => {
    const done = () => pc.iceGatheringState === "complete" && resolve();
    pc.addEventListener("icegatheringstatechange", done);
    setTimeout(resolve, limit);
    done();
  });
  const offer = pc.localDescription.sdp;
  const hosts = offer.split("\r\n").filter((line) => /^a=candidate:.* typ host/.test(line));
  const hidden = hosts.filter((line) => /\.local /.test(line)).length;
  const body = keep ? offer.split("\r\n").filter((line) => !line.startsWith("a=candidate:")).join("\r\n") : offer;
  const response = await fetch("/echo", { method: "POST", headers: { "Content-Type": "application/sdp" }, body });
  if (response.status !== 201) throw new Error(`status ${response.status}: ${await response.text()}`);
  const connecting = performance.now();
  const answer = await response.text();
  const answered = answer.split("\r\n").filter((line) => line.startsWith("a=candidate:"));
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  await Promise.race([
    opened,
    new Promise((_, reject) => setTimeout(() => reject(new Error(`the channel did not open: ${channel.readyState}, ${pc.connectionState}`)), limit)),
  ]);
  const connectMs = performance.now() - connecting;

  // Sizes over the whole range: both ends, then a walk that never repeats itself soon.
  const size = (i) => (i === 0 ? 1 : i === 1 ? largest : 1 + (i * 7919) % largest);
  const make = (i) => {
    if (i % 2) return String.fromCharCode(97 + (i % 26)).repeat(size(i));
    const bytes = new Uint8Array(size(i));
    for (let k = 0; k < bytes.length; k += 1) bytes[k] = (k * 31 + i) & 255;
    return bytes;
  };
  const same = (i, data) => {
    const sent = make(i);
    if (typeof sent === "string") return data === sent;
    if (!(data instanceof ArrayBuffer) || data.byteLength !== sent.length) return false;
    const got = new Uint8Array(data);
    return sent.every((byte, k) => byte === got[k]);
  };

  let received = 0, sent = 0, bytes = 0, problem = null;
  const started = performance.now();
  const all = new Promise((resolve) => {
    channel.addEventListener("message", ({ data }) => {
      if (problem === null && !same(received, data)) problem = `message ${received} of ${size(received)} bytes came back as ${data.byteLength ?? data.length}`;
      received += 1;
      if (received === count) resolve();
    });
    setTimeout(resolve, 200_000);
  });
  channel.bufferedAmountLowThreshold = 1 << 20;
  while (sent < count && channel.readyState === "open") {
    if (channel.bufferedAmount > 4 << 20) await new Promise((resolve) => channel.addEventListener("bufferedamountlow", resolve, { once: true }));
    channel.send(make(sent));
    bytes += size(sent);
    sent += 1;
  }
  await all;
  const ms = performance.now() - started;

  const second = pc.createDataChannel("second", { ordered: false });
  await new Promise((resolve) => { second.addEventListener("open", resolve); setTimeout(resolve, limit); });
  const echoed = new Promise((resolve) => { second.addEventListener("message", ({ data }) => resolve(data)); setTimeout(resolve, limit); });
  second.send("first,second");
  const labels = String(await echoed).split(",");
  return { answered, hidden, plain: hosts.length - hidden, sent, received, bytes, ms, connectMs, problem, labels };
}
