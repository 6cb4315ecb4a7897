import Base

/// What the lab's pages have in common.
enum HTMLPage {
    static func document(title: String, @MarkupBuilder _ content: () -> [Markup]) -> String {
        let page = Markup("html", [("lang", "en")]) {
            Markup("head") {
                Markup.void("meta", [("charset", "utf-8")])
                Markup.void("meta", [("name", "viewport"), ("content", "width=device-width, initial-scale=1")])
                Markup.void("meta", [("name", "color-scheme"), ("content", "light dark")])
                // Nothing is fetched, whatever the data say.
                Markup.void(
                    "meta",
                    [
                        ("http-equiv", "Content-Security-Policy"),
                        (
                            "content",
                            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
                        ),
                    ])
                Markup("title") { title }
                Markup("style") { style }
            }
            Markup("body") {
                FigureStyle.patterns
                Markup("button", [("id", "theme"), ("hidden", ""), ("title", "Light or dark")]) { "◐" }
                Markup("main") { content() }
                Markup("script") { script }
            }
        }
        return "<!DOCTYPE html>\n" + page.text + "\n"
    }

    /// A name as a place in the page.
    static func anchor(_ name: String) -> String {
        "x-" + String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" })
    }

    static func figure(_ picture: Markup, _ caption: String?) -> Markup {
        Markup("figure") {
            Markup("div", [("class", "scroll")]) { picture }
            if let caption { Markup("figcaption") { caption } }
        }
    }

    /// - Parameters:
    ///   - titles: of the columns; nil for none.
    ///   - first: columns from this one on are figures.
    ///   - style: a further class of a cell, by row and column.
    static func table(
        _ titles: [String]?, _ rows: [[String]], numbersFrom first: Int,
        style further: (Int, Int) -> String? = { _, _ in nil }
    ) -> Markup {
        func style(_ column: Int, row: Int? = nil) -> [(StaticString, String)] {
            let kind = column >= first ? "number" : ""
            let other = row.flatMap { further($0, column) } ?? ""
            let classes = "\(kind) \(other)".trimmed
            if classes.isEmpty { return [] }
            return [("class", classes)]
        }
        return Markup("div", [("class", "scroll")]) {
            Markup("table") {
                if let titles {
                    Markup("thead") {
                        Markup("tr") {
                            for (column, title) in titles.enumerated() {
                                Markup("th", [("scope", "col")] + style(column)) { title }
                            }
                        }
                    }
                }
                Markup("tbody") {
                    for (index, row) in rows.enumerated() {
                        Markup("tr") {
                            for (column, cell) in row.enumerated() {
                                if column == 0 {
                                    Markup("th", [("scope", "row")]) { cell }
                                } else {
                                    Markup("td", style(column, row: index)) { cell }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    private static let style = Markup.source(
        """

        :root {
          --paper: #fdfcfa; --ink: #1d2126; --muted: #5c646e; --rule: #d9d8d3; --soft: #f1f0ec;
          --figure: #2f4b6e; --warn: #fbf1d9; --warn-rule: #c9962b; color-scheme: light;
        }
        @media (prefers-color-scheme: dark) {
          :root:not([data-theme=light]) {
            --paper: #15181c; --ink: #e3e4e2; --muted: #9aa3ad; --rule: #33383f; --soft: #1e2227;
            --figure: #9dbbe0; --warn: #2e2614; --warn-rule: #c9962b; color-scheme: dark;
          }
        }
        :root[data-theme=dark] {
          --paper: #15181c; --ink: #e3e4e2; --muted: #9aa3ad; --rule: #33383f; --soft: #1e2227;
          --figure: #9dbbe0; --warn: #2e2614; --warn-rule: #c9962b; color-scheme: dark;
        }
        * { box-sizing: border-box; }
        html { font: 17px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
          -webkit-text-size-adjust: 100%; }
        body { margin: 0; background: var(--paper); color: var(--ink); }
        main { max-width: 54rem; margin: 0 auto; padding: 3.5rem 1.25rem 6rem; }
        h1 { font-size: 2.1rem; line-height: 1.15; letter-spacing: -.02em; margin: .2rem 0 .8rem; font-weight: 650; }
        h2 { font-size: 1.45rem; line-height: 1.25; letter-spacing: -.01em; margin: 0 0 .6rem; font-weight: 650; }
        h3 { font-size: 1.05rem; line-height: 1.35; margin: 2rem 0 .5rem; font-weight: 650; }
        h4 { font-size: .95rem; margin: 1.4rem 0 .4rem; font-weight: 600; }
        p, ul { margin: 0 0 .9rem; }
        ul { padding-left: 1.2rem; }
        li { margin: .25rem 0; }
        p, li, blockquote { max-width: 42rem; overflow-wrap: anywhere; }
        section { border-top: 1px solid var(--rule); padding-top: 2rem; margin-top: 3rem; }
        section.case { border: 0; padding: 0; margin: 0; }
        section.case > h3 { margin-top: 2.8rem; padding-top: 1rem; border-top: 1px dotted var(--rule); }
        .kicker { color: var(--muted); font-size: .85rem; letter-spacing: .02em; margin: 0; }
        .facts, .question { color: var(--muted); }
        .question { font-size: 1.1rem; }
        .note, figcaption, .caveats { color: var(--muted); font-size: .88rem; }
        .warning { background: var(--warn); border-left: 3px solid var(--warn-rule); padding: .7rem 1rem; font-size: .92rem; }
        ul.warning { padding-left: 2.1rem; }
        .answer strong { font-weight: 650; }
        nav { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: 2.2rem 0 0; font-size: .92rem; }
        a { color: inherit; text-decoration-color: var(--muted); text-underline-offset: .2em; }
        .check p { margin: 0 0 .3rem; }
        blockquote { margin: 1.4rem 0 1rem; padding: .1rem 0 .1rem 1rem; border-left: 3px solid var(--rule); }
        blockquote p { margin: 0 0 .3rem; }
        blockquote footer { color: var(--muted); font-size: .88rem; margin-bottom: .3rem; }
        blockquote footer::before { content: "— "; }
        code { font: .9em ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; font-size: .82rem; line-height: 1.4; margin: .4rem 0 1rem; min-width: 60%; }
        th, td { text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--rule);
          font-weight: 400; }
        thead th { color: var(--muted); font-size: .8rem; border-bottom-color: var(--muted); vertical-align: bottom; }
        tbody th { font-weight: 550; white-space: nowrap; }
        .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
        th:last-child, td:last-child { padding-right: 0; }
        td.strong { font-weight: 650; }
        td.weak { color: var(--muted); }
        figure { margin: 1rem 0 1rem; }
        figcaption { margin-top: .3rem; }
        svg { display: block; max-width: 100%; height: auto; min-width: 34rem; color: var(--ink); }
        svg.patterns { position: absolute; min-width: 0; }
        svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
          fill: var(--ink); font-variant-numeric: tabular-nums; }
        svg .name { text-anchor: end; }
        svg .group, svg .axis { font-weight: 650; paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
        svg .leader { stroke: var(--muted); stroke-width: .8; }
        svg .tick { text-anchor: middle; fill: var(--muted); font-size: 11px; }
        svg .tick.end { text-anchor: end; }
        svg text.faint, svg .failed { fill: var(--muted); }
        svg .failed { font-style: italic; }
        svg .bar { stroke: var(--figure); stroke-width: 1; }
        svg rect.faint { opacity: .45; }
        svg .grid { stroke: var(--rule); stroke-width: 1; }
        svg .origin { stroke: var(--ink); stroke-width: 1; }
        svg .whisker { stroke: var(--ink); stroke-width: 1.4; fill: none; }
        svg .halo { stroke: var(--paper); stroke-width: 4; fill: none; opacity: .85; }
        svg .point { fill: var(--ink); opacity: .55; }
        svg .cross { stroke: var(--ink); stroke-width: 1.6; fill: none; }
        svg .mark { fill: var(--paper); stroke: var(--figure); stroke-width: 1.6; }
        svg .mark.solid { fill: var(--figure); }
        svg .curve { fill: none; stroke: var(--figure); stroke-width: 1.7; stroke-linejoin: round; }
        svg .ground { fill: var(--paper); }
        svg .hatch { fill: none; stroke: var(--figure); stroke-width: 1.1; }
        .s0 { fill: var(--paper); } .s1 { fill: var(--figure); } .s2 { fill: url(#p2); } .s3 { fill: url(#p3); }
        .s4 { fill: url(#p4); } .s5 { fill: url(#p5); } .s6 { fill: url(#p6); } .s7 { fill: url(#p7); }
        button { font: inherit; font-size: .85rem; color: inherit; background: var(--soft); border: 1px solid var(--rule);
          border-radius: 5px; padding: .15rem .6rem; cursor: pointer; }
        #theme { position: absolute; top: 1rem; right: 1rem; }
        @media (max-width: 40rem) { html { font-size: 16px; } main { padding-top: 2.5rem; } h1 { font-size: 1.7rem; } }
        @media print {
          :root, :root[data-theme=dark], :root:not([data-theme=light]) {
            --paper: #fff; --ink: #000; --muted: #444; --rule: #bbb; --soft: #fff; --figure: #222; --warn: #fff;
            --warn-rule: #000; color-scheme: light;
          }
          html { font-size: 10.5pt; }
          main { max-width: none; padding: 0; }
          nav, button, .actions { display: none; }
          section { margin-top: 1.5rem; padding-top: 1rem; }
          figure, table, blockquote, tr, li { break-inside: avoid; }
          h1, h2, h3, h4 { break-after: avoid; }
          svg { min-width: 0; }
          .scroll { overflow: visible; }
          * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
        }

        """)

    /// What the page does beyond being read; it is whole without.
    private static let script = Markup.source(
        """

        (function () {
          var root = document.documentElement, theme = document.getElementById("theme");
          theme.hidden = false;
          theme.onclick = function () {
            var now = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
            root.dataset.theme = now === "dark" ? "light" : "dark";
          };
          document.querySelectorAll("button[data-save]").forEach(function (button) {
            button.hidden = false;
            button.onclick = function () {
              var data = JSON.parse(document.getElementById(button.dataset.save).textContent);
              var lines = Array.isArray(data) ? data.map(function (line) { return JSON.stringify(line) + "\\n"; })
                : [JSON.stringify(data, null, 2) + "\\n"];
              var link = document.createElement("a");
              link.href = URL.createObjectURL(new Blob(lines, { type: "application/json" }));
              link.download = Array.isArray(data) ? "samples.jsonl" : "run.json";
              link.click();
              URL.revokeObjectURL(link.href);
            };
          });
        })();

        """)
}
