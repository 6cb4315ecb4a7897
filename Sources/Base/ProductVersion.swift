/// The version of Skala: of the command, the engine and the package.
public enum ProductVersion {
    public static let text = "0.1.0"
}
