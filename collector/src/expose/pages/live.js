// Keeps an open page current: when the collector says that something changed, the page fetches itself and
// takes over what is new. Without it, the page asks again by a plain refresh.
"use strict";
(() => {
  const light = document.getElementById("live");
  const said = document.getElementById("said");
  let busy = false;
  let due = false;

  const isBeingWritten = () => {
    const active = document.activeElement;
    const form = active && active.closest("main form");
    const first = (list) => Math.max(0, [...list.options].findIndex((option) => option.defaultSelected));
    const isChanged = (field) => field.options ? field.selectedIndex !== first(field) : field.value !== field.defaultValue;
    return Boolean(form) || [...document.querySelectorAll("main textarea, main input:not([type=hidden]), main select")].some(isChanged);
  };

  const takeOver = (next) => {
    const [from, to] = [next.querySelector("main"), document.querySelector("main")];
    if (!from || !to) return;
    const headline = to.querySelector("h1")?.textContent;
    const active = document.activeElement;
    const place = active && to.contains(active) ? [...to.querySelectorAll("a, button, summary, [tabindex]")].indexOf(active) : -1;
    const scrolled = [...to.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    const open = [...to.querySelectorAll("details")].map((box) => box.open);
    to.replaceWith(from);
    [...from.querySelectorAll(".scroll")].forEach((box, at) => { box.scrollLeft = scrolled[at] ?? 0; });
    [...from.querySelectorAll("details")].forEach((box, at) => { box.open = open[at] ?? box.open; });
    if (place >= 0) from.querySelectorAll("a, button, summary, [tabindex]")[place]?.focus({ preventScroll: true });
    document.title = next.title;
    document.body.dataset.mood = from.dataset.mood ?? "";
    const [icon, newIcon] = [document, next].map((page) => page.querySelector("link[rel=icon]"));
    if (icon && newIcon) icon.href = newIcon.href;
    for (const part of ["footer", "#operator"]) document.querySelector(part)?.replaceWith(next.querySelector(part));
    const [tabs, newTabs] = [document, next].map((page) => page.querySelector("header nav"));
    if (tabs && newTabs && tabs.innerHTML !== newTabs.innerHTML) tabs.replaceWith(newTabs);
    const news = from.querySelector("h1")?.textContent ?? "";
    if (said && news !== headline) said.textContent = news;
  };

  const refresh = async () => {
    if (busy || document.hidden || isBeingWritten()) { due = true; return; }
    busy = true;
    due = false;
    try {
      const answer = await fetch(location.href, { cache: "no-store", redirect: "error" });
      if (answer.ok || answer.status === 404) takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch { /* the next event tries again */ } finally { busy = false; }
  };

  const show = (words) => { light.hidden = false; light.textContent = words; light.dataset.state = words; };
  document.addEventListener("visibilitychange", () => { if (due && !document.hidden) refresh(); });

  // After a link on another site the browser kept an operator's cookie back. Asking once more is asking from here.
  if (document.querySelector("#operator a") && performance.getEntriesByType("navigation")[0]?.type === "navigate" && !document.referrer.startsWith(location.origin)) refresh();

  const source = new EventSource("/events");
  source.addEventListener("open", () => show("Live"));
  source.addEventListener("changed", refresh);
  source.addEventListener("error", () => {
    show("Reconnecting");
    // Refused for good: too many listen. Then the page asks by itself.
    if (source.readyState === EventSource.CLOSED) { show("Every 15 s"); setInterval(refresh, 15000); }
  });
  addEventListener("pagehide", () => source.close());
})();
