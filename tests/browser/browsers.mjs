// Chromium and Firefox behind one interface: a fresh profile each, a user who answers as told, and no traffic of their
// own. Both are driven by puppeteer-core, Firefox over WebDriver BiDi.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { note } from "./rig.mjs";

const SIZE = { width: 1280, height: 960 };

/** How long a browser may take to start or to load a page, and any one thing that it is told to do, on a busy machine. */
const START_MS = 120_000;
const ORDER_MS = 600_000;

/**
 * What differs. `camera` says what the user answers when a page asks for it: "allow", "deny", or "unasked". Both browsers
 * hide their addresses behind .local names, unless `addresses` is "plain" or the page may use the camera: Firefox shows
 * them while it is used, Chromium as soon as the flag that answers for the user is given.
 */
const BROWSERS = {
  chromium: ({ camera, addresses }) => ({
    browser: "chrome",
    executablePath: process.env.TAUT_CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--use-fake-device-for-media-stream",
      "--autoplay-policy=no-user-gesture-required",
      ...{ allow: ["--use-fake-ui-for-media-stream"], deny: ["--use-fake-ui-for-media-stream=deny"], unasked: [] }[camera],
      ...(addresses === "plain" ? ["--disable-features=WebRtcHideLocalIpsWithMdns"] : []),
    ],
  }),
  firefox: ({ camera, addresses, scheme }) => ({
    browser: "firefox",
    executablePath: process.env.TAUT_FIREFOX ?? "/usr/bin/firefox-esr",
    extraPrefsFirefox: {
      "media.navigator.streams.fake": true,
      "media.navigator.permission.disabled": camera === "allow",
      ...(camera === "deny" ? { "permissions.default.camera": 2, "permissions.default.microphone": 2 } : {}),
      "media.peerconnection.ice.obfuscate_host_addresses": addresses === "hidden",
      "media.autoplay.default": 0,
      "layout.css.prefers-color-scheme.content-override": scheme === "dark" ? 0 : 1,
      "app.update.enabled": false,
      "network.captive-portal-service.enabled": false,
      "network.connectivity-service.enabled": false,
      "media.gmp-manager.updateEnabled": false,
    },
  }),
};

/** Starts the browser `name` with one page; `scheme` is "light" or "dark", `viewport` the window's inner size. */
export async function launch(name, { camera = "allow", addresses = "hidden", scheme = "light", viewport = SIZE } = {}) {
  const profile = mkdtempSync(join(tmpdir(), `taut-${name}-`));
  const browser = await puppeteer.launch({
    ...BROWSERS[name]({ camera, addresses, scheme }),
    headless: true,
    timeout: START_MS,
    protocolTimeout: ORDER_MS,
    userDataDir: profile,
    env: { ...process.env, HOME: profile }, // Firefox refuses a home that is another user's.
    defaultViewport: viewport,
  });
  const page = (await browser.pages())[0] ?? (await browser.newPage());
  page.setDefaultTimeout(START_MS);
  await page.setViewport(viewport);
  if (name === "chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  page.on("pageerror", (error) => note(`page error: ${error.message}`));
  await page.evaluateOnNewDocument(remember);
  return {
    page,
    /** Ends every process of the browser at once, so that none is left to say goodbye. */
    kill() {
      process.kill(-browser.process().pid, "SIGKILL"); // puppeteer starts it as the leader of a process group
    },
    async close() {
      await browser.close().catch(() => {});
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Runs in every page, before its own code: keeps the connections that it makes, for the scenarios to look at. */
function remember() {
  const Original = globalThis.RTCPeerConnection;
  globalThis.connections = [];
  globalThis.RTCPeerConnection = class extends Original {
    constructor(...options) {
      super(...options);
      globalThis.connections.push(this);
    }
  };
}
