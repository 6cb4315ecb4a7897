import Base
import TestSupport
import Testing

struct JSONTests {
    @Test(
        arguments: [
            ("0", .int(0)), ("-0", .int(0)), ("9223372036854775807", .int(.max)), ("-9223372036854775808", .int(.min)),
            ("9223372036854775808", .double(9_223_372_036_854_775_808)), ("1.5", .double(1.5)), ("1e3", .double(1000)),
            ("-2.5E-1", .double(-0.25)), ("1E+2", .double(100)),
        ] as [(String, JSON)])
    func numbersAreRead(text: String, value: JSON) throws { #expect(try JSON(parsing: text) == value) }

    @Test(
        arguments: [
            "", " ", "01", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "--1", "1-2", "0x10", "NaN", "Infinity", "1e400",
            "tru", "nul", "True", "[", "]", "[1,]", "[1 2]", "{", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1,}", "1 2",
            "\"", "\"\\", "\"\\u12\"", "\"\\u12g4\"", "\"\\x\"", "\"\u{1}\"", "\"a\nb\"", "[1]]", "//", "'a'",
        ])
    func malformedIsRefused(text: String) {
        let error = #expect(throws: SkalaError.self) { try JSON(parsing: text) }
        #expect(error?.code == .invalid)
    }

    @Test func escapesAreRead() throws {
        let text = #""\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00\ud800x\ude00""#
        let value = try JSON(parsing: text).string
        #expect(value == "\"\\/\u{8}\u{c}\n\r\tA\u{e9}\u{1F600}\u{FFFD}x\u{FFFD}")
        // A high half that another escape follows eats that escape, as Go does not: nothing is lost but the pair.
        #expect(try JSON(parsing: #""\ud800\n""#).string == "\u{FFFD}\n")
    }

    @Test func depthIsLimited() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(throws: Never.self) { try JSON(parsing: nested(64)) }
        #expect(throws: SkalaError.self) { try JSON(parsing: nested(66)) }
        #expect(throws: SkalaError.self) { try JSON(parsing: Array(nested(100_000).utf8)) }
        #expect(throws: SkalaError.self) { try JSON(parsing: Array("[[1]]".utf8), maximumDepth: 1) }
    }

    @Test func theLastOfEqualKeysCounts() throws {
        var value = try JSON(parsing: #"{"a":1,"b":2,"a":3}"#)
        #expect(value["a"] == 3)
        var object = try #require(value.object)
        object["a"] = nil
        #expect(object.keys == ["b"])
        value["b"] = .null
        #expect(value.text == #"{"a":1,"b":null,"a":3}"#)
    }

    @Test func missingIsNull() {
        let value: JSON = ["list": [1, "x"], "object": ["a": true]]
        #expect(value["object"]["a"].bool == true)
        #expect(value["none"]["at"][3].isNull)
        #expect(value["list"][1].string == "x" && value["list"][2].isNull && value["list"][-1].isNull)
        #expect(value["list"].strings == nil)
        #expect(JSON(["a", "b"]).strings == ["a", "b"])
    }

    @Test func numbersThatDoNotFitAreNil() {
        #expect(JSON.double(1.5).int == nil)
        #expect(JSON.double(1e300).int == nil)
        #expect(JSON.double(.nan).int == nil)
        #expect(JSON.double(3).int == 3)
        #expect(JSON(UInt64.max).int == .max)
        #expect(JSON.double(.infinity).text == "null")
    }

    @Test(arguments: 0..<20 as Range<UInt64>) func whatIsWrittenIsReadAgain(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<50 {
            let value = JSONTests.value(&random, depth: 4)
            #expect(try JSON(parsing: value.text) == value)
            #expect(try JSON(parsing: value.pretty()) == value)
            #expect(try JSON(parsing: value.sorted.text).sorted == value.sorted)
        }
    }

    static func value(_ random: inout SeededRandom, depth: Int) -> JSON {
        switch random.below(depth > 0 ? 8 : 6) {
        case 0: return .null
        case 1: return .bool(random.below(2) == 0)
        case 2: return .int(Int64(bitPattern: random.next() >> UInt64(random.below(64))))
        case 3:
            let double = Double(bitPattern: random.next())
            // A whole number is read as an integer where it fits: those are case 2's.
            return double.isFinite && double.description.contains(".") ? .double(double) : .bool(true)
        case 4, 5: return .string(text(&random))
        case 6: return .array((0..<random.below(5)).map { _ in value(&random, depth: depth - 1) })
        default:
            var object = JSONObject()
            for _ in 0..<random.below(5) { object[text(&random)] = value(&random, depth: depth - 1) }
            return .object(object)
        }
    }

    private static func text(_ random: inout SeededRandom) -> String {
        let scalars: [Unicode.Scalar] = [
            "a", "\"", "\\", "/", "\n", "\r", "\u{0}", "\u{1f}", "\u{7f}", "é", "😀", "\u{301}",
        ]
        var text = String.UnicodeScalarView()
        for _ in 0..<random.below(8) { text.append(random.pick(scalars)) }
        return String(text)
    }
}
