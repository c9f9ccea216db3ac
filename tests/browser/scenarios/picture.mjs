// The right picture comes back: a canvas draws its frame number as cells of black and white, and the number is read
// back from the remote video, until enough have been read.

import { check, freed, LIMIT_MS, note, picture } from "../rig.mjs";

/** How many different numbers must be read back, and for how long that is waited for on a busy machine. */
const ENOUGH = 60;

export async function run({ url, directory, browser, launch }) {
  const { page, close } = await launch({ camera: "unasked" });
  try {
    await page.goto(url);
    const seen = await page.evaluate(exchange, { enough: ENOUGH, limit: LIMIT_MS });
    await picture(page, directory, `${browser}-picture`);
    check(seen.state === "connected", "connected", seen.state);
    note(`drawn ${seen.drawn} frames, read back ${seen.read.length}, unreadable ${seen.unreadable}, first after ${Math.round(seen.firstMs)} ms, `
      + `median ${seen.behind} frames behind`);
    check(seen.unreadable === 0, "every frame could be read", seen.unreadable);
    check(seen.read.every((number, index) => index === 0 || number >= seen.read[index - 1]), "frame numbers never go back");
    check(new Set(seen.read).size >= ENOUGH, "frame numbers move on", new Set(seen.read).size);
    check(seen.behind <= 150, "the picture is at most five seconds old", seen.behind);
    await page.evaluate(() => globalThis.pc.close());
    await page.goto("about:blank");
    await freed(url, "the session of the page that was left");
  } finally {
    await close();
  }
}

/** Runs in the page. */
async function exchange({ enough, limit }) {
  const BITS = 16, COLUMNS = 8, CELL = 40, WIDTH = COLUMNS * CELL, ROWS = 3, HEIGHT = ROWS * CELL;
  // Row 0 and 1: the number, the lowest bit first. Row 2: the same number's low byte inverted, as a check.
  const bits = (number) => Array.from({ length: COLUMNS * ROWS }, (_, i) => (i < BITS ? (number >> i) & 1 : 1 - ((number >> (i - BITS)) & 1)));

  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext("2d");
  let number = 0;
  const draw = () => {
    number += 1;
    bits(number).forEach((bit, i) => {
      pen.fillStyle = bit ? "#fff" : "#000";
      pen.fillRect((i % COLUMNS) * CELL, Math.floor(i / COLUMNS) * CELL, CELL, CELL);
    });
  };
  draw();
  setInterval(draw, 1000 / 30);

  const pc = globalThis.pc = new RTCPeerConnection();
  const stream = canvas.captureStream(30);
  pc.addTrack(stream.getVideoTracks()[0], stream);
  const video = document.createElement("video");
  video.muted = video.autoplay = true;
  pc.addEventListener("track", (event) => { video.srcObject = event.streams[0]; });
  canvas.style.cssText = video.style.cssText = `width:${WIDTH}px;height:${HEIGHT}px;margin:8px`;
  document.body.replaceChildren(canvas, video);

  await pc.setLocalDescription();
  await new Promise((resolve) => {
    const done = () => pc.iceGatheringState === "complete" && resolve();
    pc.addEventListener("icegatheringstatechange", done);
    setTimeout(resolve, limit);
    done();
  });
  const started = performance.now();
  const response = await fetch("/echo", { method: "POST", headers: { "Content-Type": "application/sdp" }, body: pc.localDescription.sdp });
  await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });

  const glass = document.createElement("canvas");
  const lens = glass.getContext("2d", { willReadFrequently: true });
  const read = [], lag = [];
  let unreadable = 0, firstMs = null;
  const look = () => {
    glass.width = video.videoWidth;
    glass.height = video.videoHeight;
    lens.drawImage(video, 0, 0);
    const seen = Array.from({ length: COLUMNS * ROWS }, (_, i) => {
      const x = Math.floor(((i % COLUMNS) + 0.5) * glass.width / COLUMNS), y = Math.floor((Math.floor(i / COLUMNS) + 0.5) * glass.height / ROWS);
      return lens.getImageData(x, y, 1, 1).data[1] > 127 ? 1 : 0;
    });
    const value = seen.slice(0, BITS).reduce((sum, bit, i) => sum | (bit << i), 0);
    if (bits(value).every((bit, i) => bit === seen[i])) {
      firstMs ??= performance.now() - started;
      read.push(value);
      lag.push(number - value);
    } else {
      unreadable += 1;
    }
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  while (new Set(read).size < enough && performance.now() - started < limit) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  lag.sort((a, b) => a - b);
  return { state: pc.connectionState, drawn: number, read, unreadable, firstMs, behind: lag[lag.length >> 1] ?? -1 };
}
