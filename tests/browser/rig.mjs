// What the scenarios share: checks that print what they saw, and waiting.

export function note(text) {
  console.log(`  ${text}`);
}

/** Ends the scenario unless the condition holds. */
export function check(condition, what, seen) {
  if (!condition) throw new Error(`${what}${seen === undefined ? "" : ` (saw: ${JSON.stringify(seen)})`}`);
  note(`ok: ${what}${seen === undefined ? "" : `: ${JSON.stringify(seen)}`}`);
}

/** How long anything may take on a busy machine that should take no time. */
export const LIMIT_MS = 60_000;

/** How long a session may last after a goodbye on a busy machine: less than the 30 s without an answer that end it anyway. */
export const GOODBYE_MS = 20_000;

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

/** Waits until the server holds no session; gives the milliseconds it took. */
export async function freed(url, what, ms = LIMIT_MS) {
  return (await until(what, ms, async () => (await sessions(url)) === 0)).ms;
}

/** Waits for the page's state line. */
export async function state(page, text, ms = LIMIT_MS) {
  const read = () => page.evaluate(() => document.getElementById("state").textContent);
  try {
    await until("the state", ms, async () => (await read()) === text);
  } catch {
    throw new Error(`the page's state did not become "${text}" within ${ms} ms (saw: ${JSON.stringify([await read(), await complaint(page)])})`);
  }
}

/** How many frames a video has shown since `count` was called for it. (Firefox counts no frames of streams by itself.) */
export const shown = (page, id) => page.evaluate((id) => document.getElementById(id).shown, id);

export const count = (page, id) => page.evaluate((id) => {
  const video = document.getElementById(id);
  video.shown = 0;
  const next = () => { video.shown += 1; video.requestVideoFrameCallback(next); };
  video.requestVideoFrameCallback(next);
}, id);

/** Waits until a video that is counted has shown this many frames more. */
export async function plays(page, id, frames, ms = LIMIT_MS) {
  const before = await shown(page, id);
  await until(`the ${id} video plays`, ms, async () => (await shown(page, id)) >= before + frames);
  note(`ok: the ${id} video plays`);
}

/** The chat box echoes. */
export async function chat(page, text) {
  await page.type("#text", text);
  await page.click("#send");
  const last = () => page.evaluate(() => document.querySelector("#log .theirs:last-child")?.firstChild.textContent);
  await until(`the echo of ${text}`, LIMIT_MS, async () => (await last()) === text);
  note(`ok: chat echoes: ${text}`);
}

/** The pair that the server uses, with the candidates of both sides, and its user name fragment; undefined before it has one. */
export const serverPair = (page) => page.evaluate(async () => {
  const entries = await (await fetch(`${call.session}/stats`)).json();
  const find = (id) => entries.find((entry) => entry.id === id);
  const transport = entries.find((entry) => entry.type === "transport"), pair = find(transport?.selectedCandidatePairId);
  return pair && { ufrag: transport.iceLocalUsernameFragment, pair: pair.id, local: find(pair.localCandidateId), remote: find(pair.remoteCandidateId) };
});

/** What the page complains about. */
export const complaint = (page) => page.evaluate(() => document.getElementById("error").innerText);

/** Takes a screenshot of the whole page for a person to look at. */
export const picture = (page, directory, name) => page.screenshot({ path: `${directory}/${name}.png`, fullPage: true });
