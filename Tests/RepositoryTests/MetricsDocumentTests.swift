import Testing

@testable import DockerAPI

/// docs/metrics.md tells every metric, and no other.
struct MetricsDocumentTests {
    @Test func everyMetricIsInTheDocument() throws {
        var text = MetricsText()
        MetricsPage().write(to: &text)
        MetricsPage.writeDuration(0, to: &text)
        let page = String(decoding: text.bytes, as: UTF8.self).split(separator: "\n")
        let families = page.filter { $0.hasPrefix("# TYPE ") }.map { String($0.dropFirst(7)) }
        #expect(Set(families).count == families.count, "a family is there twice")
        let document = try #require(try Repository().text("docs/metrics.md"))
        let rows = document.split(separator: "\n").compactMap { line -> String? in
            let cells = line.split(separator: "|").map { $0.split(separator: " ").joined(separator: " ") }
            guard cells.count == 4, cells[0].hasPrefix("`skala_") || cells[0].hasPrefix("`process_") else { return nil }
            return "\(cells[0].dropFirst().dropLast()) \(cells[1])"
        }
        #expect(rows.sorted() == families.sorted())
    }
}
