// What the scenarios share: checks that print what they saw, and waiting.

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

/** Waits until the server holds no session; gives the milliseconds it took. */
export async function freed(url, what, ms = 35_000) {
  return (await until(what, ms, async () => (await sessions(url)) === 0)).ms;
}

/** Waits for the page's state line. */
export async function state(page, text, ms = 15_000) {
  const read = () => page.evaluate(() => document.getElementById("state").textContent);
  try {
    await until("the state", ms, async () => (await read()) === text);
  } catch {
    throw new Error(`the page's state did not become "${text}" within ${ms} ms (saw: ${JSON.stringify([await read(), await complaint(page)])})`);
  }
}

/** What the page complains about. */
export const complaint = (page) => page.evaluate(() => document.getElementById("error").innerText);

/** Takes a screenshot of the whole page for a person to look at. */
export const picture = (page, directory, name) => page.screenshot({ path: `${directory}/${name}.png`, fullPage: true });
