// The browser is killed in the middle of a call: no goodbye of any kind. The server frees the session within 35 s.

import { check, launch, note, sessions, state, until } from "../rig.mjs";
import { execFileSync } from "node:child_process";

const LIMIT_MS = 35_000;

export async function run({ url }) {
  const { page, context, close } = await launch();
  try {
    await page.goto(url);
    await page.click("#start");
    await state(page, "Connected");
    check((await sessions(url)) === 1, "the server holds one session");
    kill(await processId(context, page));
    const freed = await until("the server frees the session of a killed browser", LIMIT_MS, async () => (await sessions(url)) === 0);
    note(`ok: freed ${freed.ms} ms after the kill`);
  } finally {
    await close();
  }
}

/** The browser's process id, as it says itself. */
async function processId(context, page) {
  const session = await context.browser().newBrowserCDPSession().catch(() => context.newCDPSession(page));
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  return processInfo.find((entry) => entry.type === "browser").id;
}

/** Kills the process and what it started, the children last found first, so that none is left to say goodbye. */
function kill(id) {
  const children = execFileSync("ps", ["-o", "pid=", "--ppid", String(id)], { encoding: "utf8" }).split("\n").map(Number).filter(Boolean);
  process.kill(id, "SIGKILL");
  for (const child of children) {
    try { process.kill(child, "SIGKILL"); } catch { /* it went with its parent */ }
  }
}
