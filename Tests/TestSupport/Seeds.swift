import Glibc

/// The seeds a property is tried with: the same ones everywhere, `SKALA_SEEDS=N` many more, or `SKALA_SEED=N` one again.
public enum Seeds {
    /// - Parameter count: of a short run.
    public static func first(_ count: Int) -> [UInt64] {
        if let seed = variable("SKALA_SEED") { return [seed] }
        return Array(0..<(variable("SKALA_SEEDS") ?? UInt64(count)))
    }

    private static func variable(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }
}
