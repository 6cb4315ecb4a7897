/// Durations in words, as the docker CLI shows ages.
public enum HumanDuration {
    /// `Less than a second`, `5 seconds`, `About a minute`, `3 hours`, `2 weeks`.
    public static func text(_ seconds: Int64) -> String {
        switch seconds {
        case ..<1: return "Less than a second"
        case 1: return "1 second"
        case 2..<60: return "\(seconds) seconds"
        case 60..<120: return "About a minute"
        case 120..<3600: return "\(seconds / 60) minutes"
        case 3600..<5400: return "About an hour"
        default: break
        }
        let hours = (seconds + 1800) / 3600
        if hours < 48 { return "\(hours) hours" }
        let days = hours / 24
        if days < 14 { return "\(days) days" }
        if days < 60 { return "\(days / 7) weeks" }
        if days < 730 { return "\(days / 30) months" }
        return "\(days / 365) years"
    }
}
