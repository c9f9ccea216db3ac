// The other buttons of the page: the clip, for machines without a camera, and the recording of a call. The plots and the
// table show what is measured meanwhile.

import { check, freed, GOODBYE_MS, LIMIT_MS, picture, sessions, state, until } from "../rig.mjs";

export async function run({ url, directory, browser, launch }) {
  await clip(await launch({ camera: "deny" }), url, (page) => picture(page, directory, `${browser}-clip`));
  await record(await launch(), url);
}

async function clip({ page, close }, url, shot) {
  try {
    await page.goto(url);
    await page.click("#clip");
    await state(page, "Connected");
    await until("the clip plays", LIMIT_MS, () => page.evaluate(() => document.getElementById("remote").currentTime > 2));
    const values = () => page.evaluate(() => Object.fromEntries([...document.querySelectorAll(".plot")].map((plot) => [plot.querySelector("h3 span").textContent, plot.querySelector(".down dd").textContent])));
    await until("every plot has a value", LIMIT_MS, async () => Object.values(await values()).every((value) => /^[\d.]+$/.test(value)));
    // That the clip comes whole is for `matrix`, which counts by its own time: a busy machine shows it slowly.
    await until("pictures are counted", LIMIT_MS, async () => Number((await values()).Frames) > 0);
    check(true, "what the plots show", await values());
    const facts = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll("#facts tr")].map((row) => [row.cells[0].textContent, row.cells[1].textContent])));
    check(Object.values(facts).every((value) => value.length > 1) && /DTLS 1\.[23]/.test(facts.DTLS) && /VP8/.test(facts.Codecs), "what the table shows", facts);
    await shot(page);
    await page.click("#hangup");
    await state(page, "Hung up");
    await freed(url, "the session of the clip", GOODBYE_MS);
  } finally {
    await close();
  }
}

async function record({ page, close }, url) {
  try {
    await page.goto(url);
    await page.click("#start");
    await state(page, "Connected");
    await page.waitForSelector("#record:not([hidden])");
    await page.click("#record");
    await until("the button counts", LIMIT_MS, () => page.evaluate(() => /Stop recording \d+:(0[4-9]|[1-5]\d)/.test(document.getElementById("record").textContent)));
    await page.click("#record");
    await page.waitForSelector("#files a");
    const links = await page.evaluate(() => [...document.querySelectorAll("#files a")].map((link) => link.href));
    check(links.length === 2, "both files are linked", links);
    for (const [link, magic] of [[links[0], "DKIF"], [links[1], "OggS"]]) {
      const file = Buffer.from(await (await fetch(link)).arrayBuffer());
      check(file.subarray(0, 4).toString() === magic && file.length > 2_000, `the ${magic} file is there`, file.length);
    }
    check((await sessions(url)) === 1, "the call goes on");
    await page.click("#hangup");
    await freed(url, "the session of the recording", GOODBYE_MS);
  } finally {
    await close();
  }
}
