// Keeps the dashboard current while somebody looks at it: asks the server for the panels, and puts in what
// differs. Without it the page is the same, as of when it was opened.
"use strict";

(() => {
  const EVERY = 5000;
  const LONGEST = 60000;
  const GIVE_UP = 15000;

  const board = document.getElementById("dashboard");
  if (!board) return;
  let failures = 0;
  let timer = 0;
  let isAsking = false;

  const plan = () => {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(refresh, Math.min(EVERY * 2 ** failures, LONGEST));
  };

  const refresh = async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      const answer = await fetch(board.dataset.url, {
        redirect: "manual",
        signal: AbortSignal.timeout(GIVE_UP),
      });
      if (answer.type === "opaqueredirect" || answer.status === 403) {
        location.reload(); // signed out meanwhile: the page itself leads to the door
        return;
      }
      if (!answer.ok) throw new Error(answer.status);
      put(await answer.text());
      failures = 0;
    } catch {
      failures += 1;
    } finally {
      isAsking = false;
    }
    board.classList.toggle("is-stale", failures > 0);
    plan();
  };

  const put = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    const ids = (root) => [...root.querySelectorAll("[id]")].map((one) => one.id).join();
    if (ids(fresh) !== ids(board)) {
      board.replaceChildren(...fresh.childNodes);
      return;
    }
    for (const now of fresh.querySelectorAll("[id]")) {
      const then = document.getElementById(now.id);
      if (then && then.isConnected && !then.isEqualNode(now)) swap(then, now);
    }
  };

  // Whoever had the focus on a link in it keeps it there.
  const swap = (then, now) => {
    const links = [...then.querySelectorAll("a")];
    const place = links.indexOf(document.activeElement);
    then.replaceWith(now);
    if (place >= 0) now.querySelectorAll("a")[place]?.focus({ preventScroll: true });
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else refresh();
  });
  plan();
})();
