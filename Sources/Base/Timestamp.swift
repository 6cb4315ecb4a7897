/// A moment: nanoseconds since 1970-01-01T00:00:00Z. Pure arithmetic; the clock is `Kernel.SystemClock`.
public struct Timestamp: Sendable, Hashable, Comparable {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
    public init(seconds: Int64) { nanoseconds = seconds * 1_000_000_000 }

    /// Go's zero time, which Docker prints for "never": `0001-01-01T00:00:00Z`.
    public static let zeroText = "0001-01-01T00:00:00Z"

    public static func < (a: Timestamp, b: Timestamp) -> Bool { a.nanoseconds < b.nanoseconds }

    /// The moment so many nanoseconds later, or the nearest there is.
    public func advanced(by duration: Int64) -> Timestamp {
        let (sum, overflow) = nanoseconds.addingReportingOverflow(duration)
        return Timestamp(nanoseconds: overflow ? (duration < 0 ? .min : .max) : sum)
    }

    /// The nanoseconds from an earlier moment to this one, or the nearest number there is.
    public func nanoseconds(since earlier: Timestamp) -> Int64 {
        let (difference, overflow) = nanoseconds.subtractingReportingOverflow(earlier.nanoseconds)
        return overflow ? (self < earlier ? .min : .max) : difference
    }

    public var seconds: Int64 { nanoseconds.flooredQuotient(1_000_000_000) }

    /// RFC 3339 in UTC with up to nine decimals and no trailing zeros, as Go's RFC3339Nano.
    public var text: String { format(padded: false) }

    /// RFC 3339 in UTC with exactly nine decimals: the form of `docker logs --timestamps`, which sorts as text.
    public var paddedText: String { format(padded: true) }

    private func format(padded: Bool) -> String {
        let days = seconds.flooredQuotient(86400)
        let ofDay = seconds - days * 86400
        let (year, month, day) = Timestamp.civil(fromDays: days)
        var text = Timestamp.pad(year, 4) + "-" + Timestamp.pad(month, 2) + "-" + Timestamp.pad(day, 2)
        text += "T" + Timestamp.pad(ofDay / 3600, 2) + ":" + Timestamp.pad(ofDay / 60 % 60, 2)
        text += ":" + Timestamp.pad(ofDay % 60, 2)
        // The product of the earliest moment does not fit, the difference does.
        let fraction = nanoseconds &- seconds &* 1_000_000_000
        if fraction != 0 || padded {
            var decimals = Timestamp.pad(fraction, 9)
            while !padded, decimals.hasSuffix("0") { decimals.removeLast() }
            text += "." + decimals
        }
        return text + "Z"
    }

    private static func pad(_ number: Int64, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }

    /// Parses RFC 3339 (`2026-01-02T03:04:05.678Z`, with an offset too), a date alone, or Unix seconds with decimals.
    ///
    /// What lies before 1677 or after 2262 becomes the earliest or latest moment there is: Go's zero time, which images
    /// and clients send for "never", is such a one.
    ///
    /// - Throws: `SkalaError` `.invalid` naming the text.
    public init(parsing text: String) throws(SkalaError) {
        guard let value = Timestamp.parseUnix(text) ?? Timestamp.parseRFC3339(text) else {
            throw SkalaError(.invalid, "invalid time: '\(text)'")
        }
        nanoseconds = value
    }

    private static func parseUnix(_ text: String) -> Int64? {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let seconds = Int64(parts[0]) else { return nil }
        guard parts.count == 2 else { return nanoseconds(seconds, 0) }
        // The sign counts for the decimals too, also in -0.5.
        return fraction(parts[1]).map { nanoseconds(seconds, parts[0].hasPrefix("-") ? -$0 : $0) }
    }

    /// The sum, or the nearest there is.
    private static func nanoseconds(_ seconds: Int64, _ nanoseconds: Int64) -> Int64 {
        // Of one sign, so that the product fits when the sum does.
        let borrows = seconds < 0 && nanoseconds > 0
        let (product, tooLarge) = (borrows ? seconds + 1 : seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow) = product.addingReportingOverflow(borrows ? nanoseconds - 1_000_000_000 : nanoseconds)
        return tooLarge || overflow ? (seconds < 0 ? .min : .max) : sum
    }

    /// Up to nine decimals as nanoseconds.
    private static func fraction(_ digits: Substring) -> Int64? {
        guard (1...9).contains(digits.count), digits.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
        return Int64(digits + String(repeating: "0", count: 9 - digits.count))
    }

    private static func parseRFC3339(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        func number(_ start: Int, _ count: Int) -> Int64? {
            guard start + count <= bytes.count else { return nil }
            return bytes[start..<start + count].reduce(into: Int64?(0)) { value, byte in
                value = (0x30...0x39).contains(byte) ? value.map { $0 * 10 + Int64(byte - 0x30) } : nil
            }
        }
        func has(_ characters: String, at index: Int) -> Bool {
            index < bytes.count && characters.utf8.contains(bytes[index])
        }
        guard let year = number(0, 4), let month = number(5, 2), let day = number(8, 2), has("-", at: 4),
            has("-", at: 7), (1...12).contains(month), (1...length(ofMonth: month, year)).contains(day)
        else { return nil }
        var seconds = days(year, month, day) * 86400
        if bytes.count == 10 { return nanoseconds(seconds, 0) }
        guard has("Tt ", at: 10), let hour = number(11, 2), has(":", at: 13), let minute = number(14, 2), hour < 24,
            minute < 60
        else { return nil }
        seconds += hour * 3600 + minute * 60
        var decimals: Int64 = 0
        var at = 16
        if has(":", at: at) {
            // 60 is a leap second.
            guard let second = number(17, 2), second <= 60 else { return nil }
            seconds += second
            at = 19
        }
        if has(".", at: at) {
            let digits = bytes[(at + 1)...].prefix { (0x30...0x39).contains($0) }
            guard let value = fraction(Substring(decoding: digits, as: UTF8.self)) else { return nil }
            decimals = value
            at += 1 + digits.count
        }
        if at == bytes.count { return nanoseconds(seconds, decimals) }
        if has("Zz", at: at) { return at + 1 == bytes.count ? nanoseconds(seconds, decimals) : nil }
        guard has("+-", at: at), let hours = number(at + 1, 2), has(":", at: at + 3), let minutes = number(at + 4, 2),
            hours < 24, minutes < 60, bytes.count == at + 6
        else { return nil }
        let offset = hours * 3600 + minutes * 60
        return nanoseconds(has("+", at: at) ? seconds - offset : seconds + offset, decimals)
    }

    private static func length(ofMonth month: Int64, _ year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days since 1970-01-01 of a date in the proleptic Gregorian calendar, by counting 400-year eras from March.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = year.flooredQuotient(400)
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civil(fromDays days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = shifted.flooredQuotient(146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        let civilMonth = month < 10 ? month + 3 : month - 9
        return (yearOfEra + era * 400 + (civilMonth <= 2 ? 1 : 0), civilMonth, day)
    }
}

extension Int64 {
    func flooredQuotient(_ divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor != 0 && (self < 0) != (divisor < 0) ? quotient - 1 : quotient
    }
}
