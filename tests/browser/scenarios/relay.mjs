// A call through a TURN server and through nothing else: with `pageAlone` the page uses relays alone, with
// `serverAlone` the server does. A message, sound and pictures come back.

import { check, freed } from "../rig.mjs";

const LIMIT = 60_000;

export async function run({ url, pageAlone, serverAlone, servers, launch }) {
  const { page, close } = await launch({ camera: "allow" });
  try {
    await page.goto(url);
    for (const urls of servers) {
      const options = { servers: [{ urls, username: "lab", credential: "lab" }], policy: pageAlone ? "relay" : "all", limit: LIMIT };
      const seen = await page.evaluate(call, options);
      const only = (kinds) => kinds.length > 0 && kinds.every((kind) => kind === "relay");
      if (pageAlone) check(only(seen.offered), `${urls}: the page names relays alone`, seen.offered);
      if (serverAlone) check(only(seen.answered), `${urls}: the server names relays alone`, seen.answered);
      if (pageAlone) check(seen.pair.local === "relay", `${urls}: the page uses its relay`, seen.pair);
      if (serverAlone) check(seen.pair.remote === "relay", `${urls}: the server uses its relay`, seen.pair);
      check(seen.echo === "through a relay", `${urls}: the message came back`, seen.echo);
      check(seen.audio >= 50 && seen.frames >= 10, `${urls}: sound and pictures came back`, { packets: seen.audio, frames: seen.frames });
      await freed(url, "the session");
    }
  } finally {
    await close();
  }
}

/** Runs in the page. */
async function call({ servers, policy, limit }) {
  const late = Date.now() + limit;
  const until = async (what, probe) => {
    for (;;) {
      const found = await probe();
      if (found) return found;
      if (Date.now() > late) throw new Error(`${what}: not within ${limit} ms (${pc.connectionState}, ${pc.iceConnectionState})`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const pc = new RTCPeerConnection({ iceServers: servers, iceTransportPolicy: policy });
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  for (const track of stream.getTracks()) pc.addTrack(track, stream);
  const videos = [];
  pc.addEventListener("track", ({ track }) => {
    const video = document.createElement("video");
    Object.assign(video, { muted: true, autoplay: true, srcObject: new MediaStream([track]) });
    document.body.append(video);
    videos.push(video);
  });
  const channel = pc.createDataChannel("chat");
  let echo = null;
  channel.addEventListener("message", ({ data }) => { echo = data; });
  await pc.setLocalDescription();
  await until("the candidates", () => pc.iceGatheringState === "complete");
  const kinds = (sdp) => [...sdp.matchAll(/^a=candidate:.* typ (\w+)/gm)].map(([, kind]) => kind);
  const offer = pc.localDescription.sdp;
  const response = await fetch("/echo", { method: "POST", headers: { "Content-Type": "application/sdp" }, body: offer });
  if (response.status !== 201) throw new Error(`status ${response.status}: ${await response.text()}`);
  const answer = await response.text();
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  await until("the channel", () => channel.readyState === "open");
  channel.send("through a relay");
  await until("the echo", () => echo);
  const inbound = async (kind) => [...(await pc.getStats()).values()].find((it) => it.type === "inbound-rtp" && it.kind === kind);
  const audio = await until("sound", async () => { const it = await inbound("audio"); return it?.packetsReceived >= 50 && it.packetsReceived; });
  const frames = await until("pictures", async () => { const it = await inbound("video"); return it?.framesDecoded >= 10 && it.framesDecoded; });
  const stats = await pc.getStats();
  const all = [...stats.values()];
  const id = all.find((it) => it.type === "transport")?.selectedCandidatePairId;
  const used = id ? stats.get(id) : all.find((it) => it.type === "candidate-pair" && it.selected);
  const pair = { local: stats.get(used.localCandidateId).candidateType, remote: stats.get(used.remoteCandidateId).candidateType };
  for (const track of stream.getTracks()) track.stop();
  for (const video of videos) video.remove();
  pc.close();
  return { offered: kinds(offer), answered: kinds(answer), pair, echo, audio, frames };
}
