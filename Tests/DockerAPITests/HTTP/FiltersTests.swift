import Base
import Testing

@testable import DockerAPI

struct FiltersTests {
    @Test func bothFormsAreRead() throws {
        let list = try Filters("{\"label\":[\"a=b\",\"c\"],\"id\":[]}", allowed: ["label", "id"])
        let map = try Filters("{\"label\":{\"a=b\":true,\"c\":true,\"off\":false}}", allowed: ["label"])
        for filters in [list, map] {
            #expect(filters.all("label") == ["a=b", "c"])
            #expect(!filters.has("id"))
            #expect(filters.labels(["a": "b", "c": ""]))
            #expect(!filters.labels(["a": "b"]))
            #expect(!filters.labels(["a": "x", "c": "y"]))
        }
        #expect(try Filters(nil, allowed: []).isEmpty)
        #expect(try Filters("", allowed: []).isEmpty)
        #expect(try Filters("{}", allowed: []).isEmpty)
    }

    @Test(arguments: ["{\"x\":[\"1\"]}", "{\"label\":\"a\"}", "{\"label\":[1]}", "[]", "{", "{\"label\":{\"a\":1}}"])
    func theUnknownAndMalformedIsRefused(text: String) {
        let error = #expect(throws: SkalaError.self) { try Filters(text, allowed: ["label"]) }
        #expect(error?.code == .invalid)
    }

    @Test func theUnknownIsNamedAsDockerDoes() {
        let error = #expect(throws: SkalaError.self) { try Filters("{\"colour\":[\"red\"]}", allowed: ["label"]) }
        #expect(error?.message == "invalid filter 'colour'")
    }

    @Test(arguments: [
        ("web", "/web-1", true), ("web", "/my-web", true), ("^web", "/my-web", false), ("^web", "/web-1", true),
        ("^/web$", "/web", true), ("web$", "/web-1", false), ("^web$", "/web", true), ("w.b", "/wxb", true),
        ("^a.*z$", "/abcz", true), ("^a.*z$", "/abc", false), ("ab+c", "/abbbc", true), ("ab+c", "/ac", false),
        ("^ab?c$", "/ac", true), ("one|two", "/two", true), ("^one|^two", "/atwo", false), ("a\\.b", "/axb", false),
        ("a\\.b", "/a.b", true), ("", "/anything", true), ("*", "/a", false), ("(a*)*b", "/aaaa", false),
        ("Web", "/web", false), ("^/t1[^0-9]", "/t1a", true), ("^/t1[^0-9]", "/t12", false), ("^(a|b)c$", "/bc", true),
        ("^x{2}$", "/xx", true), ("[", "/[", false),
    ]) func namesMatch(pattern: String, name: String, expected: Bool) {
        #expect(Filters.nameMatches(pattern: pattern, name: name) == expected)
    }

    @Test func longPatternsTakeLinearTime() {
        let pattern = String(repeating: "a*", count: 200) + "b"
        let start = ContinuousClock().now
        #expect(!Filters.nameMatches(pattern: pattern, name: String(repeating: "a", count: 200)))
        #expect(ContinuousClock().now - start < .seconds(5))
    }

    @Test func setsPrefixesAndFlags() throws {
        let filters = Filters([
            "id": ["abc", "def"], "status": ["running"], "dangling": ["1"], "bad": ["true", "false"],
        ])
        #expect(filters.prefix("id", "abcdef"))
        #expect(!filters.prefix("id", "xabc"))
        #expect(filters.exact("status", "running"))
        #expect(!filters.exact("status", "runn"))
        #expect(filters.exact("missing", "anything"))
        #expect(filters.exact("id", anyOf: ["x", "def"]))
        #expect(try filters.flag("dangling") == true)
        #expect(try filters.flag("missing") == nil)
        #expect(throws: SkalaError.self) { try filters.flag("bad") }
        #expect(throws: SkalaError.self) { try filters.flag("status") }
    }
}

struct StreamFramingTests {
    @Test func headersAreDockers() {
        #expect(StreamFraming.header(.standardError, length: 0x0102_0304) == [2, 0, 0, 0, 1, 2, 3, 4])
        #expect(StreamFraming.frame(.standardOutput, Array("hi".utf8)) == [1, 0, 0, 0, 0, 0, 0, 2, 104, 105])
        #expect(StreamFraming.frame(.standardOutput, [UInt8]()).isEmpty)
    }

    @Test func longOutputIsSplit() {
        let payload = [UInt8]((0..<150_000).map { UInt8(truncatingIfNeeded: $0) })
        var framed = StreamFraming.frame(.standardOutput, payload)[...]
        var joined: [UInt8] = []
        while framed.count >= 8 {
            let header = Array(framed.prefix(8))
            let length = header[4...].reduce(0) { $0 << 8 | Int($1) }
            #expect(length <= StreamFraming.maximumPayload && header[0] == 1)
            joined += framed.dropFirst(8).prefix(length)
            framed = framed.dropFirst(8 + length)
        }
        #expect(framed.isEmpty)
        #expect(joined == payload)
    }
}
