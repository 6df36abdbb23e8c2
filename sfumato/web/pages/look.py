"""How the pages look: colours, widths, and the two scripts for the language and for dark mode."""

import json
from collections.abc import Iterable

STYLE = """
.block.hide-container:has(> .html-container > .prose:empty), .block.hide-container:has(.status > div:empty) { display: none !important }
:root { --sfumato: #6b5b95 }
.gradio-container { width: 100% !important; max-width: 1180px !important; margin: 0 auto !important; padding: 0 16px 48px !important }
footer { display: none !important }
.gradio-container main { padding: 8px !important }
html:not([data-language="zh"]) span[lang="zh-CN"], html[data-language="zh"] span[lang="en"] { display: none }
#head { align-items: center; flex-wrap: nowrap; gap: 8px; margin: 10px 0 2px }
#head h1 { font-weight: 300; font-size: 1.9rem; letter-spacing: .03em; margin: 0 }
#head .small-button { flex: 0 0 auto; min-width: 0; width: auto }
.note, .note * { font-size: .92rem } .note { opacity: .78 }
.block.hide-container:has(.note) .html-container { padding: 0 !important }
.gradio-container .gap { gap: 12px }
.status { min-height: 1.6em; overflow-wrap: anywhere }
.status progress { width: 100%; height: 8px; accent-color: var(--sfumato) }
.status .bad, .status .bad * { color: #b42318 !important } .dark .status .bad, .dark .status .bad * { color: #ff8a7a !important }
.status .remark, .status .remark * { color: var(--body-text-color-subdued) !important }
.pixels img { image-rendering: pixelated }
.pixels .grid-wrap { padding-top: 34px !important; min-height: 0 !important }
.pixels .grid-container { grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)) !important }
.pixels .caption-label { max-width: 100% !important }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr)); gap: 12px }
.card { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 12px 14px; background: var(--block-background-fill) }
.card h3 { margin: 0 0 2px; font-size: 1.05rem } .card p { margin: 2px 0; font-size: .9rem; overflow-wrap: anywhere }
.card .kind { color: var(--body-text-color-subdued) }
.card details { font-size: .85rem } .card table { width: 100%; border-collapse: collapse }
.card td { padding: 1px 6px 1px 0; vertical-align: top }
.card code { overflow-wrap: anywhere; white-space: normal }
.facts { border-collapse: collapse; font-size: .92rem }
.prose .facts, .prose .facts tr { border: 0 !important }
.facts td, .facts th { padding: 3px 12px 3px 0 !important; text-align: left; border: 0 !important }
.scroll { overflow-x: auto }
.label-wrap > span:first-child { text-align: left }
:focus-visible { outline: 2px solid var(--sfumato) !important; outline-offset: 2px }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(260px, 100%), 1fr)); gap: 12px }
.curves figure { margin: 0 } .curves figcaption { font-size: .85rem; overflow-wrap: anywhere } .curves svg { width: 100%; height: 120px }
.curves polyline { fill: none; stroke: var(--sfumato); stroke-width: 1.5; vector-effect: non-scaling-stroke }
.dark .curves polyline { stroke: #b3a3e6 }
@media (max-width: 640px) {
  #head h1 { font-size: 1.35rem }
  .tab-container { overflow-x: auto !important }
}
"""

HEAD = """
<style>.gradio-container .app { padding: 8px 0 !important }</style>
<script>
(() => {
  const read = (name) => { try { return localStorage.getItem(name) } catch { return null } };
  const own = (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";
  const language = read("sfumato-language") || own;
  const names = { en: "en", zh: "zh-CN" };
  document.documentElement.dataset.language = language;
  document.documentElement.lang = names[language];
  Object.defineProperty(navigator, "language", { get: () => names[document.documentElement.dataset.language], configurable: true });
  const dark = read("sfumato-dark");
  if (dark !== null) {
    const set = () => document.body && document.body.classList.toggle("dark", dark === "1");
    document.addEventListener("DOMContentLoaded", () => { set(); new MutationObserver(() => {
      const wanted = read("sfumato-dark") === "1";
      if (document.body.classList.contains("dark") !== wanted) document.body.classList.toggle("dark", wanted);
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] }) });
  }
})();
</script>
"""
"""Comes before gradio: the margin of its frame, which `STYLE` does not reach; the language and the brightness that were chosen last."""

SWITCH_LANGUAGE = """
async () => {
  const words = WORDS;
  const root = document.documentElement, next = root.dataset.language === "zh" ? "en" : "zh";
  root.dataset.language = next;
  root.lang = { en: "en", zh: "zh-CN" }[next];
  try { localStorage.setItem("sfumato-language", next) } catch {}
  const core = performance.getEntriesByType("resource").map((entry) => entry.name).find((name) => /\\/assets\\/core-[^/]*\\.js/.test(name));
  const module = core ? await import(core) : {};
  if (module.changeLocale) module.changeLocale(root.lang); else location.reload();
  // Gradio leaves some texts as they are, such as the names of tabs.
  const from = next === "zh" ? 0 : 1, table = new Map(words.map((pair) => [pair[from], pair[1 - from]]).reverse());
  const mend = () => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const text = node.data.trim();
      if (table.has(text) && !node.parentElement.closest("span[lang], script, style, textarea, #language"))
        node.data = node.data.replace(text, table.get(text));
    }
  };
  for (const wait of [50, 400, 1500]) setTimeout(() => { if (root.dataset.language === next) mend() }, wait);
}
"""
"""Changes the language in the browser: gradio's own words and labels, and which half of the messages is shown."""
GRADIO = (("Drop File Here", "将文件拖放到此处"), ("- or -", "- 或 -"), ("Click to Upload", "点击上传"))
"""Words of gradio's own that it does not change by itself, in English and Chinese."""


def switch_language(words: Iterable[tuple[str, str]]) -> str:
    """The script that changes the language, with all labels in English and Chinese."""
    pairs = [pair for pair in (*words, *GRADIO) if "{" not in pair[0]]
    return SWITCH_LANGUAGE.replace("WORDS", json.dumps(pairs, ensure_ascii=False), 1)


SWITCH_DARK = """
() => {
  const dark = !document.body.classList.contains("dark");
  try { localStorage.setItem("sfumato-dark", dark ? "1" : "0") } catch {}
  document.body.classList.toggle("dark", dark);
}
"""
