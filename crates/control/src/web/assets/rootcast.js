// Keeps an open page up to date: when something happens (server-sent events) or a while has passed, the page is asked for
// again, and the parts marked data-live that have changed take the place of the old ones. Everything works without it.
"use strict";

(() => {
  const every = Number(document.body.dataset.liveEvery) * 1000;
  const rollout = document.body.dataset.liveRollout;
  const state = document.getElementById("live-state");
  const announcer = document.getElementById("announcer");
  // Not more often than this, however much happens.
  const PAUSE = 700;
  // What the pointer rests on must not be replaced under it: keys and clicks would get lost.
  const FOCUSABLE = "a[href], button, summary, input, select, textarea";

  let events = null;
  let timer = null;
  let isAsking = false;
  let isWanted = false;
  let said = announced(document);

  function announced(page) {
    return Array.from(page.querySelectorAll("[data-announce]"), (it) => it.textContent.trim()).join(" ");
  }

  function say(text) {
    if (state && state.textContent !== text) state.textContent = text;
  }

  function isBusy(part) {
    return part.querySelector("details[open]") !== null && part.contains(document.activeElement);
  }

  function replace(part, fresh) {
    if (part.isEqualNode(fresh) || isBusy(part)) return;
    const open = Array.from(part.querySelectorAll("details"), (it) => it.open);
    fresh.querySelectorAll("details").forEach((it, index) => { it.open = open[index] || false; });
    const at = Array.from(part.querySelectorAll(FOCUSABLE)).indexOf(document.activeElement);
    part.replaceWith(fresh);
    if (at >= 0) fresh.querySelectorAll(FOCUSABLE)[at]?.focus({ preventScroll: true });
  }

  async function refresh() {
    if (isAsking) { isWanted = true; return; }
    isAsking = true;
    try {
      const answer = await fetch(location.href, { redirect: "manual", headers: { Accept: "text/html" } });
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (!answer.ok) { say("Not up to date"); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(part.id);
        if (fresh) replace(part, document.adoptNode(fresh));
      }
      document.title = page.title;
      document.body.dataset.liveEvery = page.body.dataset.liveEvery;
      const words = announced(document);
      if (words !== said) { said = words; announcer.textContent = words; }
      say("Live");
    } catch {
      say("Not up to date: the control plane does not answer");
    } finally {
      isAsking = false;
      await new Promise((done) => setTimeout(done, PAUSE));
      if (isWanted) { isWanted = false; refresh(); } else { plan(); }
    }
  }

  function plan() {
    clearTimeout(timer);
    const every = Number(document.body.dataset.liveEvery) * 1000;
    if (!document.hidden && every > 0) timer = setTimeout(refresh, every);
  }

  const KINDS = ["rollout", "wave", "update", "trigger", "node", "release", "broker"];

  // A browser has six connections to a host: a page that nobody looks at keeps none.
  function listen() {
    events?.close();
    events = null;
    if (document.hidden) { clearTimeout(timer); return; }
    events = new EventSource(rollout ? "/live?rollout=" + encodeURIComponent(rollout) : "/live");
    for (const kind of KINDS) events.addEventListener(kind, refresh);
    plan();
  }

  document.addEventListener("visibilitychange", () => { listen(); if (!document.hidden) refresh(); });
  addEventListener("pagehide", () => events?.close());
  if (every > 0) listen();
  say("Live");
})();
