import Base
import Testing

@testable import Kernel

struct LogTests {
    private let time = Timestamp(seconds: 0)

    @Test func textHasFieldsBehindTheMessage() {
        let line = Log().line(
            .warning, "one\ntwo", ["service": "web", "error": "no \"room\"", "empty": ""], at: time)
        #expect(line == #"1970-01-01T00:00:00Z warning: one two service=web error="no \"room\"" empty="""#)
    }

    @Test func jsonIsOneObjectALine() throws {
        let line = Log(format: .json).line(.error, "one\ntwo", ["task": "a\tb"], at: time)
        #expect(!line.contains("\n"))
        let json = try JSON(parsing: Array(line.utf8))
        #expect(json == ["time": "1970-01-01T00:00:00Z", "level": "error", "message": "one\ntwo", "task": "a\tb"])
    }

    @Test func levelsAreOrdered() {
        #expect(Log.Level.allCases.sorted() == [.debug, .info, .warning, .error])
    }
}
