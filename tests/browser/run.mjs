// node run.mjs SCENARIO URL DIRECTORY: runs one scenario against a taut server; screenshots go to the directory.
// Ends with status 0 if every check held.

import { mkdirSync } from "node:fs";

const [name, url, directory] = process.argv.slice(2);
if (!directory) {
  console.error("usage: node run.mjs SCENARIO URL DIRECTORY");
  process.exit(2);
}
mkdirSync(directory, { recursive: true });
try {
  const scenario = await import(`./scenarios/${name}.mjs`);
  await scenario.run({ url, directory });
  console.log(`${name}: passed`);
} catch (error) {
  console.log(`${name}: FAILED: ${error.stack ?? error}`);
  process.exitCode = 1;
}
