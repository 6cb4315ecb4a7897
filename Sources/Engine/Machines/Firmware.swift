import Base
import Glibc

/// UEFI firmware of the host's packages: its code, and the variables a new machine starts with.
struct Firmware: Sendable {
    let code: String
    let variables: String

    private static let known = [
        Firmware(code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        Firmware(code: "/usr/share/OVMF/OVMF_CODE.fd", variables: "/usr/share/OVMF/OVMF_VARS.fd"),
        Firmware(code: "/usr/share/edk2/ovmf/OVMF_CODE.fd", variables: "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ]

    /// - Throws: `.unavailable` when none is installed.
    static func find() throws(SkalaError) -> Firmware {
        let found = known.first { access($0.code, R_OK) == 0 && access($0.variables, R_OK) == 0 }
        guard let found else {
            throw SkalaError(.unavailable, "UEFI firmware is not installed (Debian: ovmf)")
        }
        return found
    }
}
