import Base
import Client
import Glibc

/// A command that is being carried out.
struct Invocation {
    /// What the user typed: `skala network rm`.
    let path: String
    let arguments: Arguments
    let client: EngineClient
    let output: Output

    func environment(_ name: String) -> String? { Environment.value(name) }
}
