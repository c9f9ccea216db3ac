// The demo page as a person uses it: the button brings up both videos, the remote one keeps moving, chat echoes,
// closing is seen by the other side, whichever side closes, and a page that is loaded again starts afresh.

import { chat, check, count, freed, GOODBYE_MS, LIMIT_MS, note, picture, plays, sessions, state, until } from "../rig.mjs";

export async function run({ url, directory, browser, launch }) {
  const { page, close } = await launch();
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  try {
    await page.goto(url);
    await links(page);

    const location = await call(page, url);
    await watch(page);
    for (const text of ["Hello, taut!", "Grüße, 你好, 👋 <b>not bold</b>"]) await chat(page, text);
    await picture(page, directory, `${browser}-demo-connected`);

    check((await sessions(url)) === 1, "the server holds one session");
    check((await fetch(new URL(location, url), { method: "DELETE" })).ok, "DELETE is accepted");
    await state(page, "Closed by the server");
    note("ok: the page sees that the server closed");

    await call(page, url);
    await page.click("#hangup");
    await state(page, "Hung up");
    check(true, "hanging up frees the session", `${await freed(url, "the session after the button", GOODBYE_MS)} ms`);

    await call(page, url);
    await page.reload();
    check(true, "loading the page again frees the session", `${await freed(url, "the session of the old page")} ms`);
    await call(page, url);
    check((await sessions(url)) === 1, "the new page has a session of its own");

    await page.goto("about:blank");
    check(true, "leaving the page frees the session", `${await freed(url, "the session of the page that was left")} ms`);

    const foreign = requests.filter((address) => !address.startsWith(url) && !/^(data|blob|about):/.test(address));
    check(foreign.length === 0, "nothing was loaded from elsewhere", foreign);
  } finally {
    await close();
  }
}

/** The page understands the `Link`s of any server, quoted characters included. */
async function links(page) {
  const seen = await page.evaluate(async () => {
    const original = globalThis.fetch;
    const header = String.raw`<stun:a>; rel="ice-server", <https://b>; rel="next", <turn:c:1?transport=tcp>; rel="ice-server"; username="1:ann"; credential="s,<e>; \"c\\ret"; credential-type="password"`;
    globalThis.fetch = async () => new Response("", { headers: { Link: header } });
    try { return await iceServers(); } finally { globalThis.fetch = original; }
  });
  const expected = [{ urls: "stun:a" }, { urls: "turn:c:1?transport=tcp", username: "1:ann", credential: String.raw`s,<e>; "c\ret` }];
  check(JSON.stringify(seen) === JSON.stringify(expected), "the ICE servers of a Link", seen);
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
  for (const id of ["local", "remote"]) {
    await count(page, id);
    await plays(page, id, 1);
  }
  await page.click("#sound"); // Browsers do not measure the sound of a muted element.
  await plays(page, "remote", 100);
  const size = await page.evaluate(() => { const { videoWidth, videoHeight } = document.getElementById("remote"); return `${videoWidth}x${videoHeight}`; });
  check(/^[1-9]\d+x[1-9]\d+$/.test(size), "the remote picture has a size", size);
  const audio = () => page.evaluate(async () => {
    let seen = null;
    (await connections.at(-1).getStats()).forEach((entry) => { if (entry.type === "inbound-rtp" && entry.kind === "audio") seen = { packets: entry.packetsReceived, lost: entry.packetsLost, energy: entry.totalAudioEnergy }; });
    return seen;
  });
  await until("sound comes back", LIMIT_MS, async () => (await audio())?.energy > 0);
  note(`ok: sound comes back: ${JSON.stringify(await audio())}`);
}
