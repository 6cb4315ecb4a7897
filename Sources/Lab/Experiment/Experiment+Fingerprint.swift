import Base
import Kernel

extension Experiment {
    /// Changes with the experiment's file and the recipes of its images: what is measured after a change cannot be put beside what was
    /// measured before.
    func fingerprint() throws(KernelError) -> String {
        var fingerprint = Fingerprint()
        fingerprint.addPart(try FileContents.read("\(folder)/\(Experiment.fileName)"))
        for image in images {
            guard case .folder(let recipe, _) = image.source else { continue }
            for name in try FileContents.names(in: recipe).sorted() {
                fingerprint.addPart(Array(name.utf8))
                fingerprint.addPart(try FileContents.read("\(recipe)/\(name)"))
            }
        }
        return fingerprint.text
    }
}
