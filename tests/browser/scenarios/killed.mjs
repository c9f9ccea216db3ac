// One side is killed in the middle of a call, without a goodbye of any kind. `victim` says which: "browser", then the
// server frees the session within 35 s; "server", then the page says within 35 s that it is gone.

import { check, complaint, freed, note, picture, sessions, state, until } from "../rig.mjs";

const LIMIT_MS = 35_000;

export async function run({ url, directory, browser, server, victim, launch }) {
  const { page, kill, close } = await launch();
  try {
    await page.goto(url);
    await page.click("#start");
    await state(page, "Connected");
    check((await sessions(url)) === 1, "the server holds one session");
    if (victim === "browser") {
      kill();
      note(`ok: freed ${await freed(url, "the session of a killed browser", LIMIT_MS)} ms after the kill`);
    } else {
      await until("the table is filled", 10_000, async () => !(await facts(page)).includes("–"));
      const killed = Date.now();
      process.kill(server, "SIGKILL");
      await state(page, "Failed", LIMIT_MS);
      note(`ok: told ${Date.now() - killed} ms after the kill`);
      check((await complaint(page)).startsWith("The server is gone"), "the page knows what happened", await complaint(page));
      check(!(await facts(page)).includes("–"), "the table keeps what was known", await facts(page));
      await picture(page, directory, `${browser}-server-killed`);
    }
  } finally {
    await close();
  }
}

/** The table of what is known of the connection. */
const facts = (page) => page.evaluate(() => document.getElementById("facts").innerText);
