// The demo page as a person uses it: the button brings up both videos, the remote one keeps moving, chat echoes,
// closing is seen by the other side, whichever side closes.

import { join } from "node:path";
import { check, launch, note, sessions, sleep, state, until } from "../rig.mjs";

const SECONDS = 10;

const frames = (page) => page.evaluate(() => document.getElementById("remote").getVideoPlaybackQuality().totalVideoFrames);

export async function run({ url, directory }) {
  const { page, close } = await launch();
  const shot = (name) => page.screenshot({ path: join(directory, `${name}.png`), fullPage: true });
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  try {
    await page.goto(url);
    await shot("demo-start");

    const location = await call(page, url);
    await watch(page);
    await chat(page);
    await shot("demo-connected");
    await page.emulateMedia({ colorScheme: "dark" });
    await shot("demo-connected-dark");
    await page.setViewportSize({ width: 390, height: 844 });
    await sleep(300);
    await shot("demo-connected-phone-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await shot("demo-connected-phone");
    await page.setViewportSize({ width: 1280, height: 960 });

    check((await sessions(url)) === 1, "the server holds one session");
    check((await fetch(new URL(location, url), { method: "DELETE" })).ok, "DELETE is accepted");
    await state(page, "Closed by the server");
    note("ok: the page sees that the server closed");

    await call(page, url);
    await page.click("#hangup");
    await state(page, "Hung up");
    const freed = await until("the server frees the session after the button", 5_000, async () => (await sessions(url)) === 0);
    check(true, "hanging up frees the session", `${freed.ms} ms`);

    await call(page, url);
    await page.goto("about:blank");
    const left = await until("the server frees the session after leaving the page", 35_000, async () => (await sessions(url)) === 0);
    check(true, "leaving the page frees the session", `${left.ms} ms`);

    const foreign = requests.filter((address) => !address.startsWith(url) && !/^(data|blob|about):/.test(address));
    check(foreign.length === 0, "nothing was loaded from elsewhere", foreign);
  } finally {
    await close();
  }
}

/** Presses the button and waits for the connection; gives the session's location. */
async function call(page, url) {
  const answered = page.waitForResponse((response) => response.url() === new URL("/echo", url).href);
  const pressed = Date.now();
  await page.click("#start");
  const response = await answered;
  check(response.status() === 201, "the offer is answered with 201", response.status());
  await state(page, "Connected");
  note(`ok: connected ${Date.now() - pressed} ms after the button`);
  return response.headers().location;
}

/** Both videos play, and the remote one keeps moving. */
async function watch(page) {
  await until("the local video plays", 10_000, () => page.evaluate(() => document.getElementById("local").getVideoPlaybackQuality().totalVideoFrames > 0));
  await until("the remote video plays", 10_000, async () => (await frames(page)) > 0);
  await page.click("#sound"); // Chromium does not measure the sound of a muted element.
  const counts = [await frames(page)];
  for (let second = 0; second < SECONDS; second += 1) {
    await sleep(1000);
    counts.push(await frames(page));
  }
  const rising = counts.every((count, index) => index === 0 || count > counts[index - 1]);
  check(rising && counts.at(-1) - counts[0] >= 10 * SECONDS, `remote frames keep rising for ${SECONDS} s`, counts);
  const size = await page.evaluate(() => { const { videoWidth, videoHeight } = document.getElementById("remote"); return `${videoWidth}x${videoHeight}`; });
  check(/^[1-9]\d+x[1-9]\d+$/.test(size), "the remote picture has a size", size);
  const audio = await page.evaluate(async () => {
    let seen = null;
    (await call.pc.getStats()).forEach((entry) => { if (entry.type === "inbound-rtp" && entry.kind === "audio") seen = { packets: entry.packetsReceived, lost: entry.packetsLost, energy: entry.totalAudioEnergy }; });
    return seen;
  });
  check(audio?.packets > 0 && audio.energy > 0, "sound comes back", audio);
}

/** The chat box echoes. */
async function chat(page) {
  for (const text of ["Hello, taut!", "Grüße, 你好, 👋 <b>not bold</b>"]) {
    await page.fill("#text", text);
    await page.click("#send");
    await page.waitForFunction((wanted) => document.querySelector("#log .theirs:last-child")?.firstChild.textContent === wanted, text, { timeout: 5_000 });
    note(`ok: chat echoes: ${text}`);
  }
}
