// What the page says when something is wrong: camera refused, server gone, offer refused.

import { join } from "node:path";
import { check, launch, state } from "../rig.mjs";

const error = (page) => page.evaluate(() => document.getElementById("error").innerText);

export async function run({ url, directory }) {
  await refused(url, directory);
  await serverGone(url, directory);
}

async function refused(url, directory) {
  const { page, close } = await launch({ camera: "deny" });
  try {
    await page.goto(url);
    await page.click("#start");
    await state(page, "Failed");
    const text = await error(page);
    check(text.includes("refused"), "a refused camera is told", text);
    check(await page.isEnabled("#start"), "the button can be pressed again");
    await page.screenshot({ path: join(directory, "errors-camera.png"), fullPage: true });
  } finally {
    await close();
  }
}

async function serverGone(url, directory) {
  const { page, close } = await launch();
  try {
    await page.goto(url);
    await page.route("**/echo", (route) => route.abort("connectionrefused"));
    await page.click("#start");
    await state(page, "Failed");
    check((await error(page)).includes("does not answer"), "a server that is gone is told", await error(page));
    await page.screenshot({ path: join(directory, "errors-server.png"), fullPage: true });

    await page.unroute("**/echo");
    await page.route("**/echo", (route) => route.continue({ postData: "v=0\r\nthis is not SDP\r\n" }));
    await page.click("#start");
    await state(page, "Failed");
    check((await error(page)).includes("refused the call"), "the server's reason is shown", await error(page));
  } finally {
    await close();
  }
}
