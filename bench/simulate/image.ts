/** The image that is pulled: blobs of equal size, each cut into pieces of one size. */
export interface ImageLayout {
  readonly blobs: readonly string[];
  readonly piecesPerBlob: number;
  readonly pieceBytes: number;
}

export function imageOf(bytes: number, blobs: number, pieceBytes: number): ImageLayout {
  return {
    blobs: Array.from({ length: blobs }, (_, ordinal) => `sha256:${ordinal.toString(16).padStart(64, '0')}`),
    piecesPerBlob: Math.round(bytes / blobs / pieceBytes),
    pieceBytes,
  };
}

export function imageBytes(image: ImageLayout): number {
  return image.blobs.length * image.piecesPerBlob * image.pieceBytes;
}
