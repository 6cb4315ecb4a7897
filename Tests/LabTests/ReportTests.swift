import Base
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Lab

/// Reports and exports of runs, odd ones among them.
@Suite struct ReportTests {
    @Test func noTextBecomesMarkup() {
        let results = Runs.hostileRun()
        for page in [HTMLReport(results).text, RunComparison(results, results).html] {
            #expect(!page.contains("<img"))
            #expect(!page.contains("\u{1}"))
            #expect(page.contains("&lt;img src=x onerror=alert(1)&gt;"))
        }
        for text in [MarkdownReport(results).text, RunComparison(results, results).markdown] {
            #expect(text.contains("\\<img"))
            #expect(!text.replacing("\\<img", with: "").contains("<img"))
            #expect(!text.contains("\u{1}"))
        }
    }

    @Test func theRawDataCanBeReadBack() throws {
        let results = Runs.hostileRun()
        let page = HTMLReport(results).text
        let parts = page.split(separator: "id=\"samples\">")
        let data = try #require(parts.last?.split(separator: "</script>").first)
        let samples = try JSON(parsing: Array(data.utf8))
        #expect(samples.array?.count == results.samples.count)
        #expect(samples[0]["remarks"][0].string == Runs.hostile)
    }

    @Test func whatDidNotFinishAndWhatIsZeroIsTold() {
        let results = Runs.hostileRun()
        for text in [HTMLReport(results).text, MarkdownReport(results).text] {
            #expect(text.contains("did not finish"))
            #expect(text.contains("Software emulation"))
            #expect(text.contains("not quiet"))
            #expect(text.contains("stopped before its end"))
            #expect(!text.contains("nan"))
            #expect(!text.contains("inf "))
        }
    }

    @Test func nothingIsAResultToo() {
        let page = HTMLReport(RunResults(["version": 1, "id": "empty"], [])).text
        #expect(page.contains("Nothing was measured."))
        #expect(RunExport(RunResults([:], [])).csv == "experiment,case,round,measure,value,unit,failure\r\n")
    }

    @Test func figuresFollowTheData() {
        let drawn = Runs.drawn(seed: 1, factor: 0.5)
        let page = HTMLReport(drawn).text
        // One for all cases, one for each.
        #expect(page.split(separator: "<figure>").count - 1 == 7)
        #expect(page.contains("worse in 6 of 6 comparisons"))
        #expect(
            HTMLReport(Runs.drawn(seed: 1, factor: 1)).text.contains("no difference proved in any of 6 comparisons"))
        let odd = HTMLReport(Runs.hostileRun()).text
        // A factor that is a number goes to the right; what trials recorded over time has a figure of its own.
        #expect(odd.contains("memory over count"))
        #expect(odd.contains("over time"))
    }

    @Test func changesAreToldAsPeopleSayThem() {
        #expect(Change.text(1.125) == "+12\u{A0}%" || Change.text(1.125) == "+13\u{A0}%")
        #expect(Change.text(0.97) == "−3.0\u{A0}%")
        #expect(Change.text(1) == "±0.0\u{A0}%")
        #expect(Change.text(8) == "×8.0")
        #expect(Change.text(0.04) == "÷25")
        #expect(Change.text(0) == "×0")
    }

    @Test func scalesEncloseTheirValues() {
        for values in [[0.0, 0], [3.0, 3], [0.001, 0.0024], [1, 99_999], [-5, 12], [1e-9, 1e9]] as [[Double]] {
            for isLogarithmic in [false, true] where !isLogarithmic || values[0] > 0 {
                let scale = FigureScale(values, origin: nil, isLogarithmic: isLogarithmic)
                #expect(scale.low <= values[0] && scale.high >= values[1], "\(values)")
                #expect((2...20).contains(scale.ticks.count), "\(values): \(scale.ticks)")
                #expect(values.allSatisfy { (0...1).contains(scale.position($0)) })
            }
        }
    }

    @Test func aTableHasARowForEachTrialAndMeasure() {
        let lines = RunExport(Runs.hostileRun()).csv.split(separator: "\r\n")
        #expect(lines.first == "experiment,case,isolation,neighbour,count,round,measure,value,unit,failure")
        // Two measures in six trials, one in one, three failures of three, and nine of the other case.
        #expect(lines.count == 1 + 8 * 2 + 1 + 3 * 3 + 9)
        #expect(lines.contains { $0.hasPrefix("odd,many,container,,10,1,memory,5.0,MiB,") })
        #expect(
            lines.contains { $0.contains("\"did not finish within 60 s </script><img src=x onerror=alert(1)>\"\"'") })
    }

    @Test func theExportHasWhatWasComputed() throws {
        let json = RunExport(Runs.drawn(seed: 1, factor: 0.5)).json
        let text = try JSON(parsing: Array(json.pretty().utf8))
        let measure = text["experiments"][0]["cases"][0]["conditions"][1]["measures"]["rate"]
        #expect(measure["n"] == 8)
        #expect(measure["comparison"]["different"] == true)
        let ratio = try #require(measure["comparison"]["ratio"].double)
        #expect(abs(ratio - 0.5) < 0.05)
    }
}
