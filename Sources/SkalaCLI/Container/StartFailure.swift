/// The exit status of a container that could not be made or started: docker's 125, 126 and 127.
enum StartFailure {
    static func report<Value>(_ body: () throws -> Value) throws -> Value {
        do { return try body() } catch let failure as CommandFailure { throw failure } catch {
            throw CommandFailure(status(of: CommandFailure.text(error)), error)
        }
    }

    /// 127: the program is not there, 126: it cannot be executed, 125: anything else.
    static func status(of message: String) -> Int32 {
        let message = message.lowercased()
        // What a mount or a working directory lacks is no fault of the program.
        guard message.contains("program") || message.contains("exec") else { return 125 }
        if message.contains("not found") || message.contains("no such file or directory") { return 127 }
        if ["permission denied", "is a directory", "format error"].contains(where: message.contains) { return 126 }
        return 125
    }
}
