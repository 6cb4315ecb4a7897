import Base
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Lab

private enum Browser {
    static let path = "/usr/bin/chromium"
    static var isThere: Bool { access(path, X_OK) == 0 }
}

/// Reports in a real browser, light and dark.
@Suite(.enabled(if: Browser.isThere, "chromium is not installed")) struct BrowserTests {
    /// What a page's own script can see of it: whether it came to its end, and which colours hold.
    @Test(arguments: ["light", "dark"]) func aReportIsShown(_ theme: String) throws {
        let folder = try TemporaryFolder()
        let report = HTMLReport(Runs.hostileRun()).text.replacing(
            "<html lang=\"en\">", with: "<html lang=\"en\" data-theme=\"\(theme)\">")
        let page = try folder.write("report.html", Array(report.utf8))
        let picture = folder.path + "/report.png"
        let deadline = SystemClock.monotonicNanoseconds() + 120_000_000_000
        var output: [UInt8] = []
        let status = try Subprocess.stream(
            [
                Browser.path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--enable-logging=stderr", "--user-data-dir=\(folder.path)/profile", "--window-size=1000,1600",
                "--screenshot=\(picture)", "--dump-dom", "file://\(page)",
            ], isCancelled: { SystemClock.monotonicNanoseconds() > deadline }
        ) { output += $0 }
        // The page, and what the browser says, together.
        let tree = String(decoding: output, as: UTF8.self)
        #expect(status == 0)
        // The page's console speaks there: errors of scripts, and what the page was not allowed to fetch.
        #expect(!tree.contains(":CONSOLE"), "\(tree.suffix(2000))")
        // The script at the end has run, and nothing of the data has become an element.
        #expect(tree.contains("id=\"theme\"") && !tree.contains("id=\"theme\" hidden"))
        #expect(!tree.contains("<img"))
        #expect(tree.contains("</main>"))
        #expect(tree.split(separator: "<svg").count > 3)
        // A picture of one colour would compress to far less.
        #expect(try FileContents.read(picture).count > 20_000)
    }
}
