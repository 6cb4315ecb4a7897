import Base

/// Moments as people give them.
enum TimeText {
    /// `10m` (ago), RFC 3339 or Unix seconds, as the API's `seconds.nanoseconds`.
    static func unix(_ text: String, now: Timestamp) throws(SkalaError) -> String {
        let moment: Timestamp
        if let ago = try? DurationText.parse(text), text.last?.isLetter == true {
            // What is no duration may be a date.
            moment = now.advanced(by: -ago)
        } else {
            moment = try Timestamp(parsing: text)
        }
        return unix(moment)
    }

    static func unix(_ moment: Timestamp) -> String {
        let fraction = String(moment.nanoseconds &- moment.seconds &* 1_000_000_000)
        return "\(moment.seconds)." + String(repeating: "0", count: 9 - fraction.count) + fraction
    }
}
