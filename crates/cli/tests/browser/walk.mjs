// Walks through the web page in headless Chromium as an operator does, and says on its standard output, as JSON, what it
// met: requests, complaints of the browser, findings of axe. Whatever does not come about ends it with an error.
//
// Environment: SITE, TOKEN, IMAGE (an app image to upload), NODES (how many the mesh has), SHOTS (a folder for
// screenshots), CHROMIUM, PEERS (node_modules with playwright-core and axe-core).

import { createRequire } from "node:module";
import { readFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";

const { SITE, TOKEN, IMAGE, NODES, SHOTS, CHROMIUM, PEERS } = process.env;
const require = createRequire(join(PEERS, "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
// Generous: a busy machine is no failure.
const PATIENCE = 60_000;

// ALL=1 has each width in each scheme.
const SIGHTS = process.env.ALL
  ? [[390, "dark"], [390, "light"], [1280, "dark"], [1280, "light"]]
  : [[390, "dark"], [1280, "light"]];

const report = { requests: [], complaints: [], findings: [], wide: [], shots: [] };
mkdirSync(SHOTS, { recursive: true });

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: [
    // Containers have no user namespaces; the only pages here are our own.
    "--no-sandbox",
    // Nothing could leave the machine even if it tried: it would show as a failed request.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  ],
});

function watch(context) {
  context.setDefaultTimeout(PATIENCE);
  context.on("request", (request) => report.requests.push(request.url()));
  context.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    // A stream ends with its page, and a page that is left while it loads is no failure.
    if (why !== "net::ERR_ABORTED") report.complaints.push(`${request.url()}: ${why}`);
  });
  context.on("console", (message) => {
    // An answer of 4xx, which some steps are about, is a line in the console too.
    if (/status of 4\d\d/.test(message.text())) return;
    if (["error", "warning"].includes(message.type())) report.complaints.push(message.text());
  });
  context.on("weberror", (error) => report.complaints.push(String(error.error())));
  context.on("dialog", (dialog) => { report.complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  return context;
}

// What every open page shows, when something does not come about.
process.on("uncaughtException", async (error) => {
  console.error(error, JSON.stringify({ ...report, requests: [], shots: [] }, null, 1));
  for (const context of browser.contexts()) {
    for (const page of context.pages()) {
      console.error(`\n${page.url()}\n${await page.locator("main").innerText({ timeout: 5_000 }).catch(() => "?")}`);
    }
  }
  process.exit(1);
});

function must(holds, what) {
  if (!holds) throw new Error(what);
}

async function shoot(page, name, width, colorScheme) {
  await page.setViewportSize({ width, height: width === 390 ? 844 : 800 });
  await page.emulateMedia({ colorScheme });
  const path = join(SHOTS, `${name}-${width}-${colorScheme}.png`);
  await page.screenshot({ path, fullPage: true, animations: "disabled" });
  report.shots.push(path);
}

// Phone and desktop width, dark and light: a screenshot of each, nothing that sticks out at the side, and what axe finds.
async function look(page, name, sights = SIGHTS) {
  for (const [width, colorScheme] of sights) {
    await shoot(page, name, width, colorScheme);
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) report.wide.push(`${name} at ${width}`);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    for (const { id, nodes } of violations) {
      report.findings.push(`${name} ${width} ${colorScheme}: ${id}: ${nodes.map((it) => it.html).join(" | ").slice(0, 400)}`);
    }
  }
}

async function logIn(context, token) {
  const page = await context.newPage();
  await page.goto(`${SITE}/rollouts`);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Rollouts", level: 1 }).waitFor();
  return page;
}

const context = watch(await browser.newContext());

// Logging in: a stranger sees the form, a wrong token the reason.
const first = await context.newPage();
await first.goto(SITE);
await first.getByLabel("Token").fill("rc_0_0");
await first.keyboard.press("Enter");
await first.getByRole("alert").getByText("not valid").waitFor();
await look(first, "login");
await first.close();
const page = await logIn(context, TOKEN);

// By keyboard the content is one step away.
await page.goto(SITE);
await page.keyboard.press("Tab");
must(await page.evaluate(() => document.activeElement.textContent === "Skip to content"), "the skip link comes first");
await page.keyboard.press("Enter");
must(await page.evaluate(() => document.activeElement.id === "content"), "it leads to the content");

await page.locator("#standing").getByText(`${NODES} connected`).waitFor();
await look(page, "fleet");

// A hostile name is text.
const hostile = "<img src=x onerror=alert(1)>";
await page.goto(`${SITE}/nodes`);
await page.locator("#nodes tbody th a").last().click();
await page.getByText("Name and tags", { exact: true }).click();
const name = await page.getByLabel("Name", { exact: true }).inputValue();
await page.getByLabel("Name", { exact: true }).fill(hostile);
await page.getByLabel("Tags").fill("ground floor, <b>");
await page.getByRole("button", { name: "Save" }).click();
await page.getByRole("heading", { name: hostile }).waitFor();
await page.getByText("Name and tags", { exact: true }).click();
await page.getByLabel("Name", { exact: true }).fill(name);
await page.getByRole("button", { name: "Save" }).click();
await page.getByRole("heading", { level: 1 }).filter({ hasNotText: hostile }).waitFor();
await look(page, "node");
await page.goto(`${SITE}/nodes`);
await look(page, "nodes");

// Upload.
await page.getByRole("link", { name: "Releases" }).click();
await page.getByLabel("App image").setInputFiles(IMAGE);
await page.getByLabel("Notes").first().fill("Dims more smoothly.");
await page.getByRole("button", { name: "Upload" }).click();
await page.getByRole("heading", { name: "Images" }).waitFor();
await look(page, "release");
// Nobody listens there: what nodes would not find is no release.
await page.goto(`${SITE}/releases`);
await page.getByText("Or name a release that lies elsewhere").click();
await look(page, "releases");
await page.getByLabel("URL").fill("http://127.0.0.1:9/app.bin");
await page.getByRole("button", { name: "Check and add" }).click();
await page.getByRole("alert").getByText("nodes would not take").waitFor();
await page.goto(`${SITE}/releases`);

// A dry run, then the rollout.
await page.getByRole("link", { name: /^Roll out/ }).first().click();
await page.getByLabel("Soak time").fill("3s");
await page.getByText("When, how many at once").click();
await page.getByLabel("Updates at once in a mesh").fill("2");
await look(page, "new-rollout");
await page.getByRole("button", { name: "Dry run" }).click();
await page.getByText(`${NODES} nodes would get lamp 1.1.0`).waitFor();
await look(page, "dry-run");
await page.getByRole("button", { name: "Start the rollout" }).click();

// From here on the page keeps itself up to date: it is not asked for again.
await page.getByRole("heading", { name: "Waves" }).waitFor();
const rollout = page.url();
report.rollout = rollout.split("/").pop();
const other = await context.newPage();
await other.goto(`${SITE}/mesh?name=`);
await other.locator("#tree .tally").getByText("updating").waitFor();
await shoot(other, "mesh-updating", 1280, "dark");
await page.locator("#waves li.wave").nth(1).getByText(/succeeded|soaking/).first().waitFor();
await shoot(page, "rollout-running", 1280, "light");
// The picture in the documents, docs/web.png, is a copy of this one.
await page.screenshot({ path: join(SHOTS, "web.png"), animations: "disabled" });
// Paused, nobody more begins: there is time to look.
await page.getByRole("button", { name: "Pause" }).click();
await page.locator("#summary").getByText("paused by").waitFor();
await look(page, "rollout");
await look(other, "mesh");
await page.getByText("Abort…").click();
await page.getByRole("button", { name: "Abort the rollout" }).click();
await page.locator("#summary").getByText("aborted by").waitFor();
await page.getByText("Retry…").waitFor();
await shoot(page, "rollout-aborted", 390, "dark");
await other.goto(SITE);
await shoot(other, "fleet-after", 1280, "dark");

// Those that are left, after all.
await page.getByText("Retry…").click();
await page.getByRole("button", { name: "Retry them" }).click();
await page.locator("#summary").getByText(`${NODES} of ${NODES} nodes run the new image`).waitFor();
must((await page.locator("#announcer").textContent()).includes("succeeded"), "a screen reader is told");

for (const path of ["rollouts", "events", "audit", "nowhere"]) {
  await page.goto(`${SITE}/${path}`);
  await look(page, path.replace("/", "-"));
}

await page.goto(`${SITE}/api/docs`);
// The largest page by far: once is enough.
await look(page, "api-docs", SIGHTS.slice(0, 1));

// A viewer's token, made here: nothing to press but the way out.
await page.goto(`${SITE}/tokens`);
await page.getByLabel("For whom or what").fill("the neighbour");
await page.getByRole("button", { name: "Make" }).click();
const token = await page.locator("#made").textContent();
await page.goto(`${SITE}/tokens`);
await look(page, "tokens");
// Nobody listens there: the page says so.
await page.goto(`${SITE}/webhooks`);
await page.getByLabel("URL").fill("http://127.0.0.1:9/hook");
await page.getByRole("button", { name: "Add" }).click();
must((await page.locator("#secret").textContent()).startsWith("whsec_"), "a webhook's secret is not shown");
await page.getByRole("button", { name: "Test http" }).click();
await page.getByRole("alert").getByText("did not take the test message").waitFor();
await look(page, "webhooks");
const guests = watch(await browser.newContext());
const guest = await logIn(guests, token);
await guest.goto(rollout);
await guest.getByRole("heading", { name: "Waves" }).waitFor();
const buttons = await guest.getByRole("button").allTextContents();
must(buttons.join() === "Log out", `a viewer sees ${buttons}`);
await guest.getByRole("button", { name: "Log out" }).click();
await guest.getByLabel("Token").waitFor();

// Without a script everything is there to read.
const plain = watch(await browser.newContext({ javaScriptEnabled: false }));
const reader = await logIn(plain, token);
for (const [path, text] of [["/", "connected"], ["/mesh?name=", "root"], [new URL(rollout).pathname, "run the new image"]]) {
  await reader.goto(SITE + path);
  await reader.getByText(text).first().waitFor();
}

await browser.close();
console.log(JSON.stringify(report));
