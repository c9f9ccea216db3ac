// A call of `seconds` in which the picture flashes and the sound beeps at the same moment, once a second, for the server
// to record.

import { check, freed, note } from "../rig.mjs";

export async function run({ url, seconds, launch }) {
  const { page, close } = await launch({ camera: "unasked" });
  try {
    await page.goto(url);
    const seen = await page.evaluate(callWithBeats, { seconds });
    check(seen.state === "connected", "connected", seen.state);
    note(`beats: ${seen.beats}, a flash is drawn at most ${seen.late.toFixed(0)} ms after its beep is made`);
    await freed(url, "the session");
  } finally {
    await close();
  }
}

/** Runs in the page. */
async function callWithBeats({ seconds }) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: 320, height: 240 });
  document.body.replaceChildren(canvas);
  const pen = canvas.getContext("2d");
  const sound = new AudioContext();
  const output = sound.createMediaStreamDestination();
  const tone = new OscillatorNode(sound, { frequency: 1000 });
  const gate = new GainNode(sound, { gain: 0 });
  tone.connect(gate).connect(output);
  tone.start();

  // The sound is made ahead of time, the picture when the clock of the sound says so.
  const FLASH = 0.25;
  const first = sound.currentTime + 1;
  for (let beat = 0; beat < seconds + 5; beat += 1) {
    gate.gain.setValueAtTime(0.7, first + beat);
    gate.gain.setValueAtTime(0, first + beat + FLASH);
  }
  let shade = null, beats = 0, late = 0, drawn = 0;
  const draw = () => {
    const since = sound.currentTime - first;
    const white = since >= 0 && since % 1 < FLASH;
    if (white && shade === "#000") {
      beats += 1;
      late = Math.max(late, (since % 1) * 1000);
    }
    const next = white ? "#fff" : "#000";
    // The corner changes all the time, so that there are frames to send.
    if (next !== shade || performance.now() - drawn > 30) {
      drawn = performance.now();
      shade = next;
      pen.fillStyle = shade;
      pen.fillRect(0, 0, 320, 240);
      pen.fillStyle = `rgb(${Math.floor(drawn) % 255} 0 0)`;
      pen.fillRect(0, 0, 8, 8);
    }
  };
  setInterval(draw, 2);

  const pc = new RTCPeerConnection();
  const stream = new MediaStream([...canvas.captureStream().getTracks(), ...output.stream.getTracks()]);
  for (const track of stream.getTracks()) pc.addTrack(track, stream);
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== "complete") await new Promise((resolve) => setTimeout(resolve, 20));
  const response = await fetch("/echo", { method: "POST", headers: { "Content-Type": "application/sdp" }, body: pc.localDescription.sdp });
  await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const state = pc.connectionState;
  await fetch(response.headers.get("Location"), { method: "DELETE" });
  pc.close();
  return { state, beats, late };
}
