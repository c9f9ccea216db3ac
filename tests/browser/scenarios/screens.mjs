// Pictures of the page for a person to look at: on a desk and on a phone, light and dark, before and in a call, with the
// camera refused and with the server gone.

import { LIMIT_MS, picture, sleep, state } from "../rig.mjs";

const WINDOWS = { desk: { width: 1280, height: 960 }, phone: { width: 390, height: 844 } };

/** How long a call lasts before its picture is taken: plots want something to show. */
const CALL_MS = 8_000;

export async function run({ url, directory, browser, server, launch }) {
  const last = { window: "phone", scheme: "dark" };
  for (const [window, viewport] of Object.entries(WINDOWS)) {
    for (const scheme of ["light", "dark"]) {
      const shot = (page, what) => picture(page, directory, `${browser}-${window}-${scheme}-${what}`);
      await refused(await launch({ camera: "deny", viewport, scheme }), url, shot);
      const kill = window === last.window && scheme === last.scheme ? server : null;
      await connected(await launch({ viewport, scheme }), url, shot, kill);
    }
  }
}

async function refused({ page, close }, url, shot) {
  try {
    await page.goto(url);
    await shot(page, "start");
    await page.click("#start");
    await state(page, "Failed");
    await shot(page, "camera-refused");
  } finally {
    await close();
  }
}

async function connected({ page, close }, url, shot, kill) {
  try {
    await page.goto(url);
    await page.click("#start");
    await state(page, "Connected");
    await page.type("#text", "Hello, taut!");
    await page.click("#send");
    await sleep(CALL_MS);
    await shot(page, "connected");
    if (kill === null) return;
    process.kill(kill, "SIGKILL");
    await state(page, "Failed", 2 * LIMIT_MS);
    await shot(page, "server-gone");
  } finally {
    await close();
  }
}
