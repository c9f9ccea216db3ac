// A network with IPv6 alone: the echo of the camera, and the clip, over addresses that the browser hides. Both with the data
// channel. Chromium gathers nothing where there is no IPv4, unless the page may use the camera: it does not hide its address then.

import { chat, check, count, freed, GOODBYE_MS, plays, serverPair, state } from "../rig.mjs";

export async function run({ url, browser, launch }) {
  await call(await launch(), url, "#start");
  if (browser !== "chromium") await call(await launch({ camera: "unasked" }), url, "#clip");
}

async function call({ page, close }, url, button) {
  try {
    await page.goto(url);
    await page.click(button);
    await state(page, "Connected");
    await count(page, "remote");
    await plays(page, "remote", 60);
    await chat(page, "six");
    const { local, remote } = await serverPair(page);
    const addresses = [local.address, remote.address];
    check(addresses.every((address) => address.includes(":")), "both ends are IPv6 addresses", addresses);
    await page.click("#hangup");
    await freed(url, "the session", GOODBYE_MS);
  } finally {
    await close();
  }
}
