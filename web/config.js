/** Where the API answers. "" is the server that this page came from; "/api" a path on it; else a whole address. */
export const API = "";
