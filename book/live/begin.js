/* Load the scripts of the live attack, in their order, when a reader comes near to one. */
(function () {
  "use strict";

  const SCRIPTS = ["engine.js", "session.js", "pictures.js", "drawing.js", "settings.js", "attack.js"];
  const here = document.currentScript.src;

  const watch = new IntersectionObserver(
    (all) => {
      if (!all.some((one) => one.isIntersecting)) return;
      watch.disconnect();
      for (const name of SCRIPTS) {
        const script = document.createElement("script");
        // One that is inserted would otherwise run as soon as it is there.
        Object.assign(script, { src: new URL(name, here).href, async: false });
        document.head.append(script);
      }
    },
    { rootMargin: "100%" }
  );
  document.querySelectorAll("explman-attack").forEach((one) => watch.observe(one));
})();
