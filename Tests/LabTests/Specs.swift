import Kernel
import TestSupport
import Testing

@testable import Lab

/// Experiments that are text.
enum Specs {
    static func experiment(_ text: String, quick: Bool = false) throws -> Experiment {
        let folder = try TemporaryFolder()
        try FileContents.replace(folder.path + "/experiment.yaml", with: Array(text.utf8))
        return try Experiment(folder: folder.path, quick: quick)
    }

    /// Expects that a part of an experiment, when it is wrong, is refused with a message.
    static func expectRefusal(of text: String, replacing right: String, with wrong: String, _ message: String) {
        let changed = text.replacing(right, with: wrong)
        #expect(changed != text)
        do {
            _ = try experiment(changed)
            Issue.record("\(wrong) was taken")
        } catch { #expect("\(error)".contains(message), "\(error)") }
    }
}
