// What the scenarios share: a Chromium of its own for each, checks that print what they saw, and waiting.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** Chromium of the distribution; another one can be named. */
const EXECUTABLE = process.env.TAUT_CHROMIUM ?? "/usr/bin/chromium";

const ARGUMENTS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--use-fake-device-for-media-stream",
  "--autoplay-policy=no-user-gesture-required",
];

const ANSWERS = {
  allow: ["--use-fake-ui-for-media-stream"],
  deny: ["--use-fake-ui-for-media-stream=deny"],
  unasked: [],
};

/**
 * Starts Chromium with a fresh profile. `camera` says what the user answers when a page asks for it: "allow", "deny", or
 * "unasked". Only in the last case does Chromium hide its addresses behind .local names: it shows them to a page that
 * may use the camera, and the flag that answers for the user counts as that.
 */
export async function launch({ camera = "allow" } = {}) {
  const profile = mkdtempSync(join(tmpdir(), "taut-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: EXECUTABLE,
    headless: true,
    chromiumSandbox: false,
    viewport: { width: 1280, height: 960 },
    args: [...ARGUMENTS, ...ANSWERS[camera]],
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.on("pageerror", (error) => note(`page error: ${error.message}`));
  return {
    context,
    page,
    async close() {
      await context.close().catch(() => {});
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

export function note(text) {
  console.log(`  ${text}`);
}

/** Ends the scenario unless the condition holds. */
export function check(condition, what, seen) {
  if (!condition) throw new Error(`${what}${seen === undefined ? "" : ` (saw: ${JSON.stringify(seen)})`}`);
  note(`ok: ${what}${seen === undefined ? "" : `: ${JSON.stringify(seen)}`}`);
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks again and again until `probe` gives something true; throws after `ms`. */
export async function until(what, ms, probe) {
  const started = Date.now();
  for (;;) {
    const seen = await probe();
    if (seen) return { seen, ms: Date.now() - started };
    if (Date.now() - started > ms) throw new Error(`${what}: not within ${ms} ms`);
    await sleep(100);
  }
}

/** How many sessions the server holds. */
export async function sessions(url) {
  const response = await fetch(new URL("/sessions", url));
  return (await response.json()).open;
}

/** Waits for the page's state line. */
export async function state(page, text, ms = 15_000) {
  try {
    await page.waitForFunction((wanted) => document.getElementById("state").textContent === wanted, text, { timeout: ms });
  } catch {
    const seen = await page.evaluate(() => [document.getElementById("state").textContent, document.getElementById("error").innerText]);
    throw new Error(`the page's state did not become "${text}" (saw: ${JSON.stringify(seen)})`);
  }
}
