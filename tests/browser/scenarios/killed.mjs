// One side is killed in the middle of a call, without a goodbye of any kind. `victim` says which: "browser", then the
// server frees the session; "server", then the page says that it is gone. Either takes some 30 s; that it takes no more than
// 35 s is for tests in virtual time, a busy machine may be late.

import { check, complaint, freed, LIMIT_MS, note, picture, sessions, state, until } from "../rig.mjs";

export async function run({ url, directory, browser, server, victim, launch }) {
  const { page, kill, close } = await launch();
  try {
    await page.goto(url);
    await page.click("#start");
    await state(page, "Connected");
    check((await sessions(url)) === 1, "the server holds one session");
    if (victim === "browser") {
      kill();
      note(`ok: freed ${await freed(url, "the session of a killed browser", 2 * LIMIT_MS)} ms after the kill`);
    } else {
      await until("the table is filled", LIMIT_MS, async () => !(await facts(page)).includes("–"));
      const killed = Date.now();
      process.kill(server, "SIGKILL");
      await state(page, "Failed", 2 * LIMIT_MS);
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
