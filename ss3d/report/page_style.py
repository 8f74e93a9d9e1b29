"""The frame and the style of a study's page: light and dark, phone and paper."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
  style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>__TITLE__</title>
<style>
  :root { color-scheme: light dark;
    --ink: #27272a; --pale: #63636b; --line: #e4e4e7; --paper: #fff; --card: #fafafa;
    --good: #00684a; --bad: #a33a00; --link: #005a91;
    --color-0: #0072b2; --color-1: #d55e00; --color-2: #009e73; --color-3: #cc79a7;
    --color-4: #e69f00; --color-5: #56b4e9; }
  @media (prefers-color-scheme: dark) { :root {
    --ink: #ececef; --pale: #a1a1aa; --line: #3a3a40; --paper: #18181b; --card: #212125;
    --good: #4cc9a0; --bad: #ff9d5c; --link: #7cc0ee;
    --color-0: #4aa3dc; --color-1: #f0803c; --color-2: #2dbf97; --color-3: #dd92bb; } }
  * { box-sizing: border-box; }
  body { margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 78rem;
    font: 1rem/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
  h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
  h2 { font-size: 1.35rem; margin: 2.6rem 0 0.8rem; padding-top: 0.9rem;
    border-top: 1px solid var(--line); }
  h3 { font-size: 1rem; margin: 0 0 0.3rem; }
  p { margin: 0.4rem 0 0.8rem; max-width: 80ch; }
  header p, small, figcaption, .small, caption { color: var(--pale); }
  small, figcaption, .small, caption { font-size: 0.85rem; }
  a { color: var(--link); }
  nav { position: sticky; top: 0; z-index: 1; display: flex; gap: 1.1rem; overflow-x: auto;
    padding: 0.6rem 0; background: var(--paper); border-bottom: 1px solid var(--line); }
  nav a { text-decoration: none; white-space: nowrap; }
  nav a:hover { text-decoration: underline; }
  section { scroll-margin-top: 3rem; }
  h2[id] { scroll-margin-top: 2.5rem; }
  code, pre { font: 0.88em/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
  pre { overflow-x: auto; overflow-wrap: normal; padding: 0.8rem; background: var(--card);
    border-radius: 8px; }
  ul { padding-left: 1.2rem; margin: 0.3rem 0; }
  dl { margin: 0; }
  dl > div { display: grid; grid-template-columns: 10rem 1fr; gap: 0 1rem; padding: 0.18rem 0; }
  dt { color: var(--pale); min-width: 0; overflow-wrap: anywhere; }
  dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
  dd ul { padding: 0; margin: 0; list-style: none; }
  .notes { padding: 0.6rem 0.9rem 0.6rem 2rem; border-left: 4px solid var(--color-4);
    background: var(--card); overflow-wrap: anywhere; }
  .cards { display: grid; gap: 1rem; margin: 0.4rem 0 1rem;
    grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
  .card { padding: 1rem 1.1rem; border: 1px solid var(--line); border-radius: 10px;
    background: var(--card); min-width: 0; max-width: 36rem; }
  .card dl > div { grid-template-columns: 8.5rem 1fr; }
  .value { font-size: 2rem; line-height: 1.2; font-weight: 650; margin: 0 0 0.5rem;
    font-variant-numeric: tabular-nums; }
  .value small { font-weight: 400; }
  .values { display: flex; flex-wrap: wrap; gap: 0.1rem 1rem; margin: 0.6rem 0 0; padding: 0;
    list-style: none; font-size: 0.88rem; }
  .values span { color: var(--pale); }
  .wide { overflow-x: auto; margin: 0.4rem 0 1.4rem; background:
      linear-gradient(to right, var(--paper) 30%, transparent) left / 3rem 100% local,
      linear-gradient(to left, var(--paper) 30%, transparent) right / 3rem 100% local,
      linear-gradient(to right, var(--line), transparent) left / 1rem 100% scroll,
      linear-gradient(to left, var(--line), transparent) right / 1rem 100% scroll;
    background-repeat: no-repeat; }
  .wide:focus-visible, summary:focus-visible, a:focus-visible { outline: 2px solid var(--link);
    outline-offset: 2px; }
  table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
  caption { text-align: left; padding-bottom: 0.3rem; }
  th, td { padding: 0.32rem 0.55rem; text-align: left; white-space: nowrap;
    border-bottom: 1px solid var(--line); vertical-align: top; }
  th { font-weight: 500; }
  thead th { color: var(--pale); vertical-align: bottom; }
  .number { text-align: right; }
  .state { color: var(--pale); }
  .state.complete { color: var(--good); }
  .state.failed, .state.infeasible { color: var(--bad); }
  .verdict { font-size: 0.85rem; }
  .better { color: var(--good); }
  .worse { color: var(--bad); }
  .unclear { color: var(--pale); }
  .gain { min-width: 11rem; }
  .interval { display: block; width: 100%; height: 1rem; }
  .interval path { stroke: currentColor; stroke-width: 1.8; fill: none; }
  .interval circle { fill: currentColor; }
  .interval.not { color: var(--pale); }
  .interval .zero { stroke: var(--pale); stroke-width: 0.7; }
  .figures { columns: 2 27rem; column-gap: 2rem; }
  figure { margin: 0 0 1.8rem; break-inside: avoid; }
  figure svg { display: block; width: 100%; height: auto; }
  figure svg * { stroke-linejoin: round; }
  figure svg text { font-family: system-ui, sans-serif !important; fill: var(--ink); }
  .sheet th, .sheet td { text-align: center; vertical-align: middle; padding: 0.25rem;
    border: 0; white-space: normal; }
  .sheet tbody th { max-width: 6.5rem; font-weight: 400; font-size: 0.75rem; color: var(--pale);
    overflow-wrap: anywhere; text-align: left; }
  .sheet img { display: block; width: clamp(5.2rem, 21vw, 13rem); margin: 0 auto;
    background: #fff; border-radius: 8px; }
  .viewer { width: 100%; height: 46rem; border: 1px solid var(--line); border-radius: 8px;
    background: #fff; }
  summary { cursor: pointer; color: var(--link); padding: 0.3rem 0; }
  .commands { list-style: none; padding: 0; }
  .commands li { display: grid; grid-template-columns: 15rem 1fr; gap: 0 1rem;
    padding: 0.3rem 0; }
  .commands code { user-select: all; }
  @media (max-width: 40rem) {
    body { padding-top: 1rem; }
    dl > div, .commands li { grid-template-columns: 1fr; padding: 0.3rem 0; }
    .card dl > div { grid-template-columns: 6.5rem 1fr; padding: 0.15rem 0; } }
  @media print {
    :root { color-scheme: light; --ink: #000; --pale: #444; --line: #ccc; --paper: #fff;
      --card: #fff; --good: #00684a; --bad: #a33a00; --color-0: #0072b2; --color-1: #d55e00; }
    nav, details { display: none; }
    body { max-width: none; padding: 0; font-size: 10pt; }
    h2 { break-after: avoid; }
    .card, tr { break-inside: avoid; }
    .wide { overflow: visible; }
    th, td { white-space: normal; } }
</style>
</head>
<body>
__BODY__
</body>
</html>
"""
