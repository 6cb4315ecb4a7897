import Base
import TestSupport
import Testing

struct TimestampTests {
    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2024-02-29T12:34:56.789Z", 1_709_210_096_789_000_000),
            ("2026-01-02T03:04:05+02:00", 1_767_315_845_000_000_000), ("1969-12-31T23:59:59.5Z", -500_000_000),
            ("2000-03-01", 951_868_800_000_000_000), ("2026-01-02T03:04", 1_767_323_040_000_000_000),
            ("1700000000", 1_700_000_000_000_000_000), ("1700000000.000000001", 1_700_000_000_000_000_001),
            ("-1.5", -1_500_000_000), ("-0.5", -500_000_000), ("0", 0),
            ("2026-01-02 03:04:05z", 1_767_323_045_000_000_000),
        ] as [(String, Int64)])
    func formsAreRead(text: String, nanoseconds: Int64) throws {
        #expect(try Timestamp(parsing: text).nanoseconds == nanoseconds)
    }

    @Test(
        arguments: [
            "", "x", "2026", "2026-13-01", "2026-00-01", "2026-02-30", "2023-02-29", "2026-04-31", "2026-01-02T",
            "2026-01-02T24:00:00Z", "2026-01-02T03:60:00Z", "2026-01-02T03:04:61Z", "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05.1234567890Z", "2026-01-02T03:04:05+0200", "2026-01-02T03:04:05+24:00",
            "2026-01-02T03:04:05ZZ", "2026-01-02é3:04:05Z", "2026-01-02T03.04:05Z", "1.2.3", "1e5", "2026/01/02",
        ])
    func malformedIsRefused(text: String) {
        // "2026" is a number: seconds since 1970.
        if text == "2026" { return }
        let error = #expect(throws: SkalaError.self) { try Timestamp(parsing: text) }
        #expect(error?.code == .invalid)
    }

    /// Go's zero time comes with images and from clients; the numbers are what a client may send for a filter.
    @Test(
        arguments: [
            (Timestamp.zeroText, Int64.min), ("9999-12-31T23:59:59Z", .max), ("1600-01-01", .min),
            ("9223372036854775807", .max), ("-9223372036854775808", .min), ("99999999999", .max),
            ("-9223372036.999999999", .min),
        ] as [(String, Int64)])
    func whatDoesNotFitIsTheNearest(text: String, nanoseconds: Int64) throws {
        #expect(try Timestamp(parsing: text).nanoseconds == nanoseconds)
    }

    @Test func theExtremesCanBeShown() throws {
        #expect(Timestamp(nanoseconds: .min).text == "1677-09-21T00:12:43.145224192Z")
        // Its whole seconds, rounded down, do not fit; it does.
        let first = Timestamp(nanoseconds: .min)
        #expect(try Timestamp(parsing: first.text) == first)
        #expect(try Timestamp(parsing: "-9223372036.54775808").text == "1677-09-21T00:12:43.45224192Z")
        #expect(Timestamp(nanoseconds: .max).text == "2262-04-11T23:47:16.854775807Z")
    }

    @Test func differencesEndWhereTheCalendarDoes() {
        let (first, last) = (Timestamp(nanoseconds: .min), Timestamp(nanoseconds: .max))
        #expect(last.nanoseconds(since: first) == .max && first.nanoseconds(since: last) == .min)
        #expect(Timestamp(seconds: 3).nanoseconds(since: Timestamp(seconds: 5)) == -2_000_000_000)
        #expect(last.advanced(by: 1) == last && first.advanced(by: -1) == first)
        #expect(first.advanced(by: .max) == Timestamp(nanoseconds: -1))
    }

    @Test func theTextSortsWhenPadded() {
        let times = [-1, 0, 1, 999_999_999, 1_000_000_000, 1_500_000_000].map { Timestamp(nanoseconds: $0) }
        #expect(times.map(\.paddedText) == times.map(\.paddedText).sorted())
        #expect(Timestamp(nanoseconds: 1_500_000_000).text == "1970-01-01T00:00:01.5Z")
        #expect(Timestamp(seconds: 1).paddedText == "1970-01-01T00:00:01.000000000Z")
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func whatIsWrittenIsReadAgain(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<200 {
            let time = Timestamp(nanoseconds: Int64(bitPattern: random.next()))
            #expect(try Timestamp(parsing: time.text) == time)
            #expect(try Timestamp(parsing: time.paddedText) == time)
        }
    }
}
