"""Looks: one calm theme, and what it leaves open. Colours come from the theme, so dark mode works."""

from __future__ import annotations

import gradio as gr


def theme() -> gr.themes.Base:
    """Soft, without coloured pills behind every label; its fonts are the system's, so nothing is fetched."""
    return gr.themes.Soft(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_padding="0",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_text_weight="600",
        # Gradio's own greys and teals stay below the contrast that WCAG asks for (4.5 : 1).
        block_info_text_color="*body_text_color_subdued",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        color_accent="*primary_700",
    )


CSS = """
.gradio-container { max-width: 1320px !important; margin: 0 auto !important; }
.strip { padding: 8px 12px; border-radius: 8px; border-left: 4px solid var(--primary-500);
  background: var(--background-fill-secondary); line-height: 1.45; }
#head { flex-wrap: wrap; align-items: center; }
#head > #banner { flex: 1 1 280px; min-width: min(280px, 100%); }
#head button { min-height: 44px; }
.strip.busy { border-left-color: var(--neutral-400); }
.strip.note { border-left-color: #d97706; }
.strip.bad { border-left-color: #dc2626; }
.hint, .facts { margin: 4px 0; font-size: 0.9rem; line-height: 1.45; color: var(--body-text-color-subdued); }
.facts { color: var(--body-text-color); }
.html-container { padding: 0 !important; }
.caption { margin: 6px 0 -8px !important; font-weight: 600; font-size: 0.95rem; }
/* Without contain, a wide table would widen the page instead of scrolling. */
.legend { overflow: auto; max-height: 360px; contain: inline-size; }
.legend table { width: 100%; border-collapse: collapse; font-size: 0.95rem; }
.legend table, .legend tr { border: none !important; }
.legend th, .legend td { padding: 5px 8px !important; text-align: right; font-weight: normal; border: none !important;
  border-bottom: 1px solid var(--border-color-primary) !important; font-variant-numeric: tabular-nums; }
.legend th:nth-child(2) { text-align: left; width: 60%; overflow-wrap: anywhere; }
.legend thead th { color: var(--body-text-color-subdued); font-size: 0.85rem; }
.legend td:first-child { width: 28px; }
.sort { font: inherit; color: inherit; background: none; border: none; padding: 2px 4px; cursor: pointer; }
.sort:focus-visible { outline: 2px solid var(--primary-500); border-radius: 4px; }
th[aria-sort=ascending] .sort::after { content: " \\25B2"; }
th[aria-sort=descending] .sort::after { content: " \\25BC"; }
.strip ul { margin: 4px 0 0 18px; }
.sheet { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 8px 0; font-size: 0.95rem; }
.sheet dt { color: var(--body-text-color-subdued); }
.sheet dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
progress.wide { display: block; width: 100%; height: 8px; margin-top: 6px; accent-color: var(--primary-500); }
.swatch { display: inline-block; width: 18px; height: 18px; border-radius: 4px; vertical-align: middle;
  border: 1px solid rgba(128, 128, 128, 0.6); }
.scales { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
.told { margin: 4px 0; line-height: 1.5; }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); gap: 8px 24px;
  align-items: start; }
.plain { width: 100%; border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.plain, .plain tr { border: none !important; }
.plain th, .plain td { padding: 4px 6px !important; text-align: right; font-weight: normal; border: none !important;
  border-bottom: 1px solid var(--border-color-primary) !important; }
.plain th:first-child { text-align: left; }
.plain thead th { color: var(--body-text-color-subdued); font-size: 0.85rem; }
.depth { display: flex; gap: 4px; margin: 12px 0 4px !important; padding: 0 !important; list-style: none !important;
  overflow-x: auto; }
.depth li { position: relative; flex: 1 1 0; min-width: 22px; text-align: center; font-size: 0.8rem; line-height: 1.3;
  list-style: none; margin: 0; color: var(--body-text-color); }
.depth .count, .depth .layer { display: block; }
.depth .rod { display: flex; align-items: flex-end; height: 72px; background: var(--background-fill-secondary); }
.depth .rod span { width: 100%; background: var(--neutral-400); }
.depth .now .rod span { background: var(--primary-600); }
.depth .now { outline: 2px solid var(--primary-600); outline-offset: -1px; font-weight: 700; }
.bar { display: block; height: 10px; border-radius: 5px; }
.ends { display: flex; justify-content: space-between; gap: 8px; font-size: 0.85rem;
  font-variant-numeric: tabular-nums; }
.regions th:nth-child(2), .regions td:nth-child(3), .regions td:nth-child(5), .regions th:nth-child(3),
.regions th:nth-child(5) { text-align: left; width: auto; overflow-wrap: normal; }
.legend tr.chosen { background: var(--background-fill-secondary); box-shadow: inset 4px 0 0 #e6001e; }
.legend tr.chosen th, .legend tr.chosen td { font-weight: 600; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; }
.sign { display: inline-block; width: 18px; height: 18px; border-radius: 4px; vertical-align: middle; }
.sign.noise { background: repeating-linear-gradient(135deg, #5a5a5a 0 2px, #d0d0d0 2px 6px); }
.sign.moved { border-radius: 50%; background: #fff; border: 4px solid #000; outline: 1px solid #888; }
.sign.line { height: 0; margin: 0 4px; border-radius: 0; border-top: 4px solid #fff; outline: 3px solid #555; }
.sign.line.was { border-top: 4px dashed #e68200; }
.sign.line.is { border-top-color: #5adcff; }
.pieces th:nth-child(2), .pieces th:nth-child(3) { width: auto; overflow-wrap: normal; }
.pieces th:nth-child(3), .pieces td:nth-child(3), .pieces th:last-child, .pieces td:last-child { text-align: left; }
.pieces td:last-child { min-width: 150px; }
#refine-pieces .wrap { max-height: 240px; overflow-y: auto; }
#examples .grid-wrap { height: auto !important; min-height: 0 !important; max-height: none !important; }
#examples .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)) !important; }
#examples .thumbnail-item { aspect-ratio: 4 / 3; }
#examples .caption-label { left: 0; right: 0; bottom: 0; max-width: none; padding: 3px 6px; border: none;
  border-radius: 0; font-size: 0.78rem; line-height: 1.25; white-space: normal; text-overflow: clip; }
#compare-gallery .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important; }
.dark #tabs [role=tab].selected { color: var(--primary-400); }
.tour h2 { margin: 2px 0 6px; font-size: 1.15rem; }
.tour p { line-height: 1.5; }
.compared td, .compared thead th { white-space: nowrap; }
#compare-gallery .grid-wrap { height: auto !important; min-height: 0 !important; max-height: none !important; }
#compare-gallery .grid-container { grid-template-columns: repeat(auto-fill, minmax(125px, 1fr)) !important; }
#compare-gallery .thumbnail-item { aspect-ratio: auto; display: flex; flex-direction: column; }
#compare-gallery .caption-label { position: static; max-width: none; padding: 4px 6px; border: none; border-radius: 0;
  font-size: 0.82rem; line-height: 1.3; white-space: normal; text-overflow: clip; text-align: left; }
#show { align-self: flex-end; height: 46px; }
@media (max-width: 640px) {
  /* Gradio measures a hidden copy of the tabs and puts those that do not fit into a menu, where nobody finds them:
     a copy without width keeps all in sight, in as many lines as they need. */
  #tabs .tab-container.visually-hidden button { width: 1px !important; padding: 0 !important; font-size: 0 !important; }
  #tabs .tab-wrapper, #tabs .tab-container[role=tablist] { height: auto !important; flex-wrap: wrap; }
  #overlay, #patches, #refine-boundaries { height: 260px !important; }
  .scales { grid-template-columns: 1fr; gap: 8px; }
  .regions th:nth-child(5), .regions td:nth-child(5) { display: none; }
  #before, #after, #difference, #affinity, #regions-before, #regions-after { height: 170px !important; }
}
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
"""
