/// What both programs say of themselves.
public enum ProductVersion {
    public static let text = "0.1.0"
    /// The version of the contract: methods, errors, the command line.
    public static let contract = "1.0"
    /// The version of JSON-RPC spoken.
    public static let jsonrpc = "2.0"
}
