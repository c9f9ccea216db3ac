// ICE restarts from the page: video and messages go on meanwhile and afterwards, and go over a pair of the new ICE session. First
// the clip, over addresses that the browser hides, then the echo of the camera.

import { chat, check, count, freed, GOODBYE_MS, LIMIT_MS, note, picture, plays, serverPair, state, until } from "../rig.mjs";

const RESTARTS = 3;

export async function run({ url, directory, browser, launch }) {
  await restarts(await launch({ camera: "unasked" }), url, "#clip");
  await restarts(await launch(), url, "#start", (page) => picture(page, directory, `${browser}-restart`));
}

async function restarts({ page, close }, url, button, shot) {
  try {
    await page.goto(url);
    await page.click(button);
    await state(page, "Connected");
    await count(page, "remote");
    await plays(page, "remote", 10);
    if (button === "#clip") check(await page.evaluate(() => /\.local /.test(connections.at(-1).localDescription.sdp)), "the browser hides its addresses");
    await page.evaluate(load);
    for (let restart = 1; restart <= RESTARTS; restart += 1) await once(page, restart);
    await chat(page, "still there");
    await shot?.(page);

    const seen = await page.evaluate(() => globalThis.endOfLoad());
    check(seen.problem === null && seen.received === seen.sent, "every message came back, once and in order", seen);
    check(seen.sent > 50, "messages were sent all the time", seen.sent);
    const bad = seen.states.filter((state) => state === "failed" || state === "closed");
    check(bad.length === 0, "the connection held", seen.states);
    await page.click("#hangup");
    await freed(url, "the session", GOODBYE_MS);
  } finally {
    await close();
  }
}

/** Presses the button, and waits until data goes over a pair of the new ICE session. */
async function once(page, restart) {
  const before = await serverPair(page), theirs = await page.evaluate(ufrag);
  const pressed = Date.now();
  await page.click("#restart");
  await until("a pair of the new ICE session", LIMIT_MS, async () => {
    const now = await serverPair(page);
    return now && now.ufrag !== before.ufrag && now.local.id.endsWith(now.ufrag) && now.pair !== before.pair;
  });
  note(`restart ${restart}: data moved ${Date.now() - pressed} ms after the button`);
  check((await page.evaluate(ufrag)) !== theirs, "the browser has another user name fragment, too");
  await until("the button may be pressed again", LIMIT_MS, () => page.evaluate(() => !document.getElementById("restart").disabled));
  check(await page.evaluate(() => document.getElementById("error").hidden), "the page complains of nothing");
  await plays(page, "remote", 30);
  await state(page, "Connected");
}

/** Runs in the page: the user name fragment of the description that is in force. */
function ufrag() {
  return /^a=ice-ufrag:(.*)$/m.exec(connections.at(-1).currentLocalDescription.sdp)[1];
}

/** Runs in the page: a channel on which a message travels every 20 ms, until the end is asked for. */
async function load() {
  const pc = connections.at(-1), channel = pc.createDataChannel("load");
  const seen = { sent: 0, received: 0, problem: null, longest: 0, states: [] };
  pc.addEventListener("connectionstatechange", () => seen.states.push(pc.connectionState));
  await new Promise((resolve) => { channel.addEventListener("open", resolve, { once: true }); });
  let last = performance.now();
  channel.addEventListener("message", ({ data }) => {
    if (Number(data) !== seen.received) seen.problem ??= `message ${seen.received} was ${data}`;
    seen.received += 1;
    seen.longest = Math.max(seen.longest, Math.round(performance.now() - last));
    last = performance.now();
  });
  const timer = setInterval(() => { channel.send(String(seen.sent)); seen.sent += 1; }, 20);
  globalThis.endOfLoad = async () => {
    clearInterval(timer);
    for (let tries = 0; tries < 600 && seen.received < seen.sent; tries += 1) await new Promise((resolve) => { setTimeout(resolve, 100); });
    return seen;
  };
}
