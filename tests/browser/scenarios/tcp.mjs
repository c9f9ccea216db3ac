// Calls to a server that offers TCP candidates alone, with the page offering and the page answering: messages come back equal
// and in order, and so does the picture.

import { check, freed, note } from "../rig.mjs";

const COUNT = 300;

export async function run({ url, launch }) {
  const { page, close } = await launch({ camera: "unasked" });
  try {
    await page.goto(url);
    for (const role of ["offers", "answers"]) {
      const seen = await page.evaluate(call, { role, count: COUNT });
      check(seen.theirs.length > 0 && seen.theirs.every((line) => / tcp .* tcptype passive/i.test(line)), `the page ${role}: the server has passive candidates alone`, seen.theirs.length);
      check(seen.problem === null && seen.received === COUNT, "every message came back, in order", seen.problem ?? seen.received);
      check(seen.protocols.join() === "tcp,tcp", "both ends of the pair in use are of TCP", seen.protocols);
      note(`connected after ${Math.round(seen.connectMs)} ms, ${seen.frames} frames came back`);
      await freed(url, "the session");
    }
  } finally {
    await close();
  }
}

/** Runs in the page. */
async function call({ role, count }) {
  const LIMIT_MS = 60_000;
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const until = async (what, probe) => {
    for (const end = performance.now() + LIMIT_MS; ;) {
      const seen = await probe();
      if (seen) return seen;
      if (performance.now() > end) throw new Error(`no ${what} within ${LIMIT_MS} ms (${pc.connectionState}, ${pc.iceConnectionState})`);
      await sleep(20);
    }
  };
  const request = async (method, path, body, expected) => {
    const response = await fetch(path, { method, headers: { "Content-Type": "application/sdp" }, body });
    const text = await response.text();
    if (response.status !== expected) throw new Error(`${method} ${path}: status ${response.status}: ${text}`);
    return { text, location: response.headers.get("Location") };
  };

  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: 320, height: 240 });
  const pen = canvas.getContext("2d");
  let drawn = 0;
  const drawing = setInterval(() => {
    drawn += 1;
    pen.fillStyle = `hsl(${(drawn * 7) % 360} 80% 50%)`;
    pen.fillRect(0, 0, 320, 240);
  }, 1000 / 30);
  const video = document.createElement("video");
  Object.assign(video, { autoplay: true, muted: true });
  document.body.replaceChildren(canvas, video);

  const pc = new RTCPeerConnection();
  pc.addEventListener("track", ({ track }) => { video.srcObject = new MediaStream([track]); });
  const channel = pc.createDataChannel("messages");
  channel.binaryType = "arraybuffer";
  const make = (i) => Uint8Array.from({ length: 1 + (i * 7919) % 30_000 }, (_, k) => (k * 31 + i) & 255);
  let received = 0, problem = null;
  channel.addEventListener("message", ({ data }) => {
    const got = new Uint8Array(data), sent = make(received);
    if (got.length !== sent.length || !sent.every((byte, k) => byte === got[k])) problem ??= `message ${received} is not what was sent`;
    received += 1;
  });
  const [track] = canvas.captureStream(30).getVideoTracks();
  try {
    const started = performance.now();
    if (role === "offers") {
      pc.addTrack(track);
      await pc.setLocalDescription();
      await until("end of gathering", () => pc.iceGatheringState === "complete");
      const { text } = await request("POST", "/echo", pc.localDescription.sdp, 201);
      await pc.setRemoteDescription({ type: "answer", sdp: text });
    } else {
      const { text, location } = await request("POST", "/echo", "", 201);
      await pc.setRemoteDescription({ type: "offer", sdp: text });
      pc.addTrack(track);
      await pc.setLocalDescription();
      await until("end of gathering", () => pc.iceGatheringState === "complete");
      await request("PATCH", location, pc.localDescription.sdp, 204);
    }
    await until("connection", () => pc.connectionState === "connected");
    const connectMs = performance.now() - started;
    await until("open channel", () => channel.readyState === "open");
    for (let i = 0; i < count; i += 1) channel.send(make(i));
    await until(`echo of ${count} messages`, () => problem ?? (received === count));
    const stats = async () => [...(await pc.getStats()).values()];
    const frames = await until("picture", async () => {
      const inbound = (await stats()).find((one) => one.type === "inbound-rtp" && one.kind === "video");
      return inbound?.framesDecoded >= 30 ? inbound.framesDecoded : 0;
    });
    const all = await stats();
    const pair = all.find((one) => one.type === "candidate-pair" && one.nominated && one.state === "succeeded");
    const protocols = [pair?.localCandidateId, pair?.remoteCandidateId].map((id) => all.find((one) => one.id === id)?.protocol ?? "?");
    const theirs = pc.remoteDescription.sdp.split("\r\n").filter((line) => line.startsWith("a=candidate:"));
    return { theirs, received, problem, protocols, connectMs, frames };
  } finally {
    clearInterval(drawing);
    pc.close();
  }
}
