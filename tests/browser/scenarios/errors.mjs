// What the page says when something is wrong: camera refused, offer refused, server gone.

import { check, complaint, picture, state } from "../rig.mjs";

export async function run(context) {
  await cameraRefused(context);
  await offerRefused(context);
}

async function cameraRefused({ url, directory, browser, launch }) {
  const { page, close } = await launch({ camera: "deny" });
  try {
    await page.goto(url);
    await page.click("#start");
    await state(page, "Failed");
    const text = await complaint(page);
    check(text.includes("refused"), "a refused camera is told", text);
    check(await page.$eval("#start", (button) => !button.disabled), "the button can be pressed again");
    await picture(page, directory, `${browser}-camera-refused`);
  } finally {
    await close();
  }
}

async function offerRefused({ url, directory, browser, server, launch }) {
  const { page, close } = await launch();
  try {
    await page.goto(url);
    await page.evaluate(() => {
      const original = globalThis.fetch;
      globalThis.fetch = (address, options) => original(address, { ...options, body: "v=0\r\nthis is not SDP\r\n" });
    });
    await page.click("#start");
    await state(page, "Failed");
    check((await complaint(page)).includes("refused the call"), "the server's reason is shown", await complaint(page));

    process.kill(server, "SIGKILL");
    await page.click("#start");
    await state(page, "Failed");
    check((await complaint(page)).includes("does not answer"), "a server that is gone is told", await complaint(page));
    await picture(page, directory, `${browser}-server-gone`);
  } finally {
    await close();
  }
}
