import Base
import Testing

@testable import DockerAPI

struct PatternTests {
    @Test(
        arguments: [
            ("nginx", "nginx", true), ("nginx", "nginx2", false), ("*", "nginx", true), ("*", "a/b", false),
            ("*/b", "a/b", true), ("a/*", "a/b", true), ("n*x", "nginx", true), ("n*x", "nx", true),
            ("n*x", "nxy", false),
            ("ng?nx", "nginx", true), ("ng?nx", "ngnx", false), ("?", "/", false), ("**", "", true), ("", "", true),
            ("", "a", false), ("a*b*c", "aXbYbZc", true), ("a*b*c", "aXbYbZ", false), ("*:1.*", "nginx:1.25", true),
        ])
    func patternsAreShells(pattern: String, text: String, fits: Bool) {
        #expect(ShellPattern.matches(pattern, text) == fits)
    }

    /// With a search that tries every star again this would not end.
    @Test(.timeLimit(.minutes(1))) func noPatternTakesLong() {
        let pattern = String(repeating: "*a", count: 200) + "b"
        #expect(!ShellPattern.matches(pattern, String(repeating: "a", count: 5000)))
    }

    private func filter(_ until: String) throws -> PruneFilter { try PruneFilter(Filters(["until": [until]])) }

    @Test func pruningIsUntilATimeOrADurationAgo() throws {
        let old = Timestamp(seconds: 1000)
        let future = Timestamp(seconds: 5_000_000_000)
        #expect(try filter("1h").includes(old, [:]) && !(try filter("1h").includes(future, [:])))
        #expect(try filter("1001").includes(old, [:]) && !(try filter("1000").includes(old, [:])))
        #expect(try filter("1970-01-02").includes(old, [:]))
        // What leads beyond the calendar is its end.
        #expect(try filter("-2400000h").includes(future, [:]))
        #expect(!(try filter("2400000h").includes(old, [:])))
        #expect(!(try filter(Timestamp.zeroText).includes(old, [:])))
        #expect(throws: SkalaError.self) { try filter("yesterday") }
    }

    @Test func pruningKeepsLabels() throws {
        let filter = try PruneFilter(Filters(["label": ["a=1"], "label!": ["keep"]]))
        let time = Timestamp(seconds: 0)
        #expect(filter.includes(time, ["a": "1"]) && !filter.includes(time, ["a": "2"]))
        #expect(!filter.includes(time, ["a": "1", "keep": ""]))
    }
}
