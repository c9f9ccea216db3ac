// node run.mjs BROWSER SCENARIO JSON: runs one scenario with one browser. The JSON has at least `url`, the server's
// address, and `directory`, where screenshots go. Ends with status 0 if every check held.

import { mkdirSync } from "node:fs";
import { launch } from "./browsers.mjs";

const [browser, name, json] = process.argv.slice(2);
if (!json) {
  console.error("usage: node run.mjs BROWSER SCENARIO JSON");
  process.exit(2);
}
const options = JSON.parse(json);
mkdirSync(options.directory, { recursive: true });
try {
  const scenario = await import(`./scenarios/${name}.mjs`);
  await scenario.run({ ...options, browser, launch: (how) => launch(browser, how) });
  console.log(`${browser} ${name}: passed`);
} catch (error) {
  console.log(`${browser} ${name}: FAILED: ${error.stack ?? error}`);
  process.exitCode = 1;
}
